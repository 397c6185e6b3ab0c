#!/bin/sh
# What the tests need beyond Python: libfluidsynth plays SoundFonts, and ffmpeg, a program of its
# own, checks our loudness by its meter. The product runs without either.
set -eu
python=$(dirname "$0")/../.venv/bin/python
if "$python" -c 'import ctypes.util, sys; sys.exit(not ctypes.util.find_library("fluidsynth"))' &&
    command -v ffmpeg >/dev/null; then
    exit 0
fi
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
if command -v apt-get >/dev/null; then
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        libfluidsynth3 ffmpeg
elif command -v brew >/dev/null; then
    brew install --quiet fluid-synth ffmpeg
else
    echo "Install FluidSynth's library (libfluidsynth) and ffmpeg with your package manager, then run again." >&2
    exit 1
fi
