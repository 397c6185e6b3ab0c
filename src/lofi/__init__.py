"""LoFi Empire: a studio that composes, renders and packages lo-fi music."""

__version__ = "0.1.0"
