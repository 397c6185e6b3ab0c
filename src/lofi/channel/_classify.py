"""What a comment is: a question, praise, a request, a complaint, spam, toxic, or something else.

A small linear model of our own: words, pairs of words and pieces of words, and beside them signals
that hold in words it has never seen (a link, a question mark, a list of words for each category).
All of them are hashed into one table of weights, multinomial logistic regression. It was trained on
`material/comments.tsv`, sentences that we wrote ourselves, and `phrases.tsv`, a grammar of more;
`benchmarks/comments.py` trains it anew and tells how well it does on others, written apart. It
guesses: a person decides.
"""

from __future__ import annotations

import random
import re
import unicodedata
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lofi.brief import LofiError, subseed

if TYPE_CHECKING:
    import numpy as np

# In the order in which they are told; each with what it means.
COMMENT_CATEGORIES: Mapping[str, str] = {
    "question": "wants an answer",
    "praise": "likes it, or says thanks",
    "request": "asks for something to be made or changed",
    "complaint": "says that something is wrong or not liked",
    "spam": "advertises something that has nothing to do with the music",
    "toxic": "insults, threatens or hates",
    "other": "talks: greetings, stories, times",
}
MATERIAL = Path(__file__).parent / "material"
SAMPLE = MATERIAL / "comments.tsv"
PHRASES = MATERIAL / "phrases.tsv"
WORDS = MATERIAL / "words.tsv"  # list, language, words
WEIGHTS = MATERIAL / "comments.npz"

# What `benchmarks/comments.py` measured on the held-out sample; a test measures it again.
GUESSING = {"right": 0.869, "of": 252}

BUCKETS = 1 << 15
_STRANGE = 0.1  # the share of comments that are unlike all it learned from
_READ = 2_000  # characters of a comment: what it is shows early
_SHARES = {"word": 0.7, "piece": 1.0, "signal": 1.2}  # how much each kind of feature weighs

_URL = re.compile(
    r"(?:https?://|www\.)\S+|\b[\w-]{2,}(?:\.[\w-]{2,})*\.[a-z]{2,10}/\S*"
    r"|\b[\w-]{2,}\.(?:com|net|org|io|me|ly|be|gg|win|shop|xyz|top|club|info|ru|example)\b"
)
_MAIL = re.compile(r"\b[\w.+-]+@[\w-]+\.[\w.-]+")
_HANDLE = re.compile(r"(?<!\w)@[\w.-]{2,}")
_PHONE = re.compile(r"\+\d[\d ()-]{6,}\d")
_MONEY = re.compile(r"[$€£₿]\s?\d|\d\s?(?:[$€£]|usd|dollars?|euros?|btc)\b|💰|💵|🤑")
_TIME = re.compile(r"(?<!\d)\d{1,2}:\d{2}(?::\d{2})?(?!\d)")
_SPACED = re.compile(r"\b(?:\w ){2,}\w\b")
_MANY = re.compile(r"(.)\1{2,}", re.DOTALL)
_WORD = re.compile(r"[^\W_]+(?:['’][^\W\d_]+)?|\*{2,}|[?!]")
_MASKED = re.compile(r"\b\w\*+\w*")
_WARM = set("❤♥💙💚💛💜🖤🤍💖💗💕💞💓💘🥰😍🥹😭👏🙏👍🔥✨🌟⭐💯😌😊☺🤗🎉🫶💫👌🏆")
_CROSS = set("🖕🤡🤮💩🤬😡👎🐷")
_LURE = set("👉👇➡→💋🔞🎁💸🚀📈🍑🍆✅")


@dataclass(frozen=True, slots=True)
class Guess:
    """What a comment seems to be, and how sure that is: 0 to 1."""

    category: str
    confidence: float
    by_category: Mapping[str, float]


def classify(text: str) -> Guess:
    """Guess what a comment is. Any text will do; an empty one is `other`."""
    return classify_all([text])[0]


def classify_all(texts: Sequence[str]) -> list[Guess]:
    """Guess what each of some comments is."""
    import numpy as np

    model = _model()
    names = list(COMMENT_CATEGORIES)
    guesses = []
    for text in texts:
        where, what = vector(text)
        logits = model.bias + model.weights[:, where] @ what
        scores = np.exp((logits - logits.max()) / model.temperature)
        # However sure it is of words it knows: some comments are of a kind it never saw.
        shares = (1 - _STRANGE) * scores / scores.sum() + _STRANGE / len(names)
        best = int(shares.argmax())
        told = {name: round(float(s), 4) for name, s in zip(names, shares, strict=True)}
        guesses.append(Guess(names[best], told[names[best]], told))
    return guesses


@dataclass(frozen=True, slots=True)
class _Model:
    weights: np.ndarray  # float32 (categories, buckets)
    bias: np.ndarray  # float32 (categories,)
    temperature: float


@lru_cache(maxsize=1)
def _model() -> _Model:
    import numpy as np

    try:
        with np.load(WEIGHTS, allow_pickle=False) as stored:
            weights = stored["weights"].astype(np.float32) * stored["scale"][:, None]
            return _Model(weights, stored["bias"], float(stored["temperature"]))
    except (OSError, KeyError, ValueError) as error:
        raise LofiError(
            f"{WEIGHTS.name}, which comments are told apart with, cannot be read: {error}. "
            "Install LoFi Empire anew."
        ) from error


# Features --------------------------------------------------------------------------------------


def vector(text: str, *, lists: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """The features of a text: their buckets, each once, and how much each counts.

    Every kind of feature has the same length in all, however long the text is. Without `lists` the
    signals of words that are in a list are left out.
    """
    import numpy as np

    buckets: dict[int, float] = {}
    for kind, names in _features(text, lists).items():
        found = set(names)
        if not found:
            continue
        each = _SHARES[kind] / len(found) ** 0.5
        for name in found:
            bucket = zlib.crc32(f"{kind}:{name}".encode()) % BUCKETS
            buckets[bucket] = buckets.get(bucket, 0.0) + each
    where = np.fromiter(buckets, dtype=np.int64, count=len(buckets))
    return where, np.fromiter(buckets.values(), dtype=np.float32, count=len(buckets))


def _features(text: str, lists: bool) -> dict[str, list[str]]:
    plain = _plain(text)
    words = _WORD.findall(plain)
    pairs = [f"{a} {b}" for a, b in zip(["^", *words], [*words, "$"], strict=True)]
    return {
        "word": [*words, *pairs],
        "piece": [p for w in words if w not in "?!" for p in _pieces(f" {w} ")],
        "signal": [
            *_signals(text[:_READ], words),
            *(_list_signals(text[:_READ], words) if lists else ()),
        ],
    }


def _plain(text: str) -> str:
    """Lower case, one spelling, no tricks: what is hidden or drawn out is made plain."""
    told = unicodedata.normalize("NFKC", text[:_READ])
    told = "".join(c for c in told if unicodedata.category(c) not in ("Cf", "Cc") or c in "\n\t ")
    told = told.casefold()
    told = _MAIL.sub(" urladdress ", told)
    told = _URL.sub(" urllink ", told)
    told = _PHONE.sub(" urlphone ", told)
    told = _TIME.sub(" attime ", told)
    told = _SPACED.sub(lambda m: m.group().replace(" ", ""), told)
    told = _MASKED.sub(" maskedword ", told)
    told = re.sub(r"\d+", "0", told)
    return _MANY.sub(r"\1\1", told)


def _pieces(word: str) -> Iterator[str]:
    for size in (2, 3, 4):
        for at in range(len(word) - size + 1):
            yield word[at : at + size]


def _signals(raw: str, words: list[str]) -> Iterator[str]:
    """What holds in any language: how it is written, and what is in it beside words."""
    lower = raw.casefold()
    spoken = [w for w in words if w not in "?!"]
    count = len(spoken)
    yield f"length {sum(count > edge for edge in (0, 1, 2, 4, 8, 16, 32))}"
    if "?" in raw or "？" in raw or "¿" in raw:
        yield "question mark"
        yield (
            "ends as a question"
            if raw.rstrip(" \n😅🤔🎸)").endswith(("?", "？"))
            else "asks within"
        )
    if "!" in raw or "！" in raw:
        yield "exclaims"
    for name, pattern in _PATTERNS.items():
        if pattern.search(lower):
            yield name
    if _TIME.search(raw) and count <= 3:
        yield "little but a time"
    letters = [c for c in raw if c.isalpha()]
    if len(letters) > 8 and sum(c.isupper() for c in letters) > 0.6 * len(letters):
        yield "shouts"
    signs = set(raw)
    for name, some in (("warm", _WARM), ("cross", _CROSS), ("lure", _LURE)):
        if signs & some:
            yield name
            if not letters:
                yield f"only {name}"
    if not letters and not any(c.isdigit() for c in raw):
        yield "no letters"


def _list_signals(raw: str, words: list[str]) -> Iterator[str]:
    """The lists that words are in, and how they meet: it holds for words that no sample has."""
    lower = raw.casefold()
    spoken = [w for w in words if w not in "?!"]
    count = len(spoken)
    met = {group: 1 for group, pattern in _UNSPACED.items() if pattern.search(lower)}
    denied = 0  # for how many words a denial still holds
    for place, word in enumerate(spoken):
        phrases = ("-".join(spoken[place : place + n]) for n in (2, 3))
        for group in (*_groups(word), *(g for p in phrases for g in _groups(p))):
            if denied and group in ("likes", "minds"):
                group = f"not {group}"
            met[group] = met.get(group, 0) + 1
            if place == 0:
                yield f"begins with {group}"
        denied = 4 if word in _NOT else max(0, denied - 1)
    for group, times in met.items():
        yield group
        if times > 1:
            yield f"{group} twice"
        if times * 4 >= count:
            yield f"much {group}"
    for one, two in (
        ("you", "hurts"), ("you", "likes"), ("wants", "likes"), ("wants", "minds"),
        ("asks", "about"), ("asks", "wants"), ("likes", "sells"), ("hurts", "minds"),
        ("me", "likes"), ("me", "wants"), ("me", "greets"), ("you", "sells"), ("me", "sells"),
    ):  # fmt: skip
        if one in met and two in met:
            yield f"{one} and {two}"


_PATTERNS = {
    "link": _URL,
    "mail": _MAIL,
    "handle": _HANDLE,
    "phone": _PHONE,
    "money": _MONEY,
    "masked": _MASKED,
    "spaced": _SPACED,
    "time": _TIME,
    "my channel": re.compile(
        r"\bmy (?:\w+ )?(?:channel|page|profile|playlist|bio|insta|video|mixtape|ep|single|remix)"
        r"|mi canal|meu canal|meinen? kanal|ma cha[iî]ne|мой канал|kanalım|チャンネル登録"
    ),
    "sub for sub": re.compile(
        r"\bsubs? ?(?:4|for|to me|me|back)|sub(?:scribe)? to (?:me|my)|맞구독"
    ),
    "can you": re.compile(r"\b(?:can|could|would|will) (?:you|u|we)\b"),
    "i need": re.compile(r"\b(?:i|we)(?:'d| would)? (?:need|want|wish|hope|like|love)\b"),
    "you are": re.compile(r"\b(?:you|u|ur|youre|you're|your)\b.{0,12}\b(?:a|an|so|just|such)\b"),
    "too much": re.compile(r"\b(?:too|way too|so much|so many|zu|trop|demasiad|muito|слишком)\b"),
}
# The same lists for languages that put no spaces between words.
_UNSPACED = {
    "asks": re.compile(
        r"何|どこ|どの|どう|いつ|誰|ですか|ますか|뭐|무슨|어디|누가|언제|나요|까요|인가요|써도"
    ),
    "wants": re.compile(r"ください|お願い|ほしい|欲しい|聴きたい|주세요|부탁|해줘|올려"),
    "likes": re.compile(
        r"最高|素敵|ありがとう|大好き|癒|綺麗|美し|落ち着|좋다|좋아|좋네|최고|감사|사랑|예쁘"
    ),
    "hurts": re.compile(
        r"死ね|消えろ|消えて|バカ|馬鹿|ゴミ|クズ|気持ち悪|頭悪|꺼져|죽어|멍청|병신|쓰레기|역겹|역겨"
    ),
    "minds": re.compile(
        r"広告|うるさ|飽き|残念|割れ|つまら|すぎ|過ぎ|がっかり"
        r"|광고|시끄|안 들|지루|너무 작|별로|실망"
    ),
    "sells": re.compile(r"稼|副業|登録|プロフィール|무료|코인|텔레그램|구독|맞구"),
}
_NOT = frozenset(
    """not dont don't isnt isn't cant can't no never nor nothing without hardly didnt didn't doesnt
    doesn't wasnt wasn't nicht kein keine nada nunca não sin pas jamais plus не нет ga gak nggak
    tidak değil yok nie bez nahi""".split()  # noqa: SIM905
)


@lru_cache(maxsize=4096)
def _groups(word: str) -> tuple[str, ...]:
    """The lists that a word is in; or several, with hyphens between them."""
    bare = word.replace("’", "'")
    return tuple(group for group, words in _words().items() if bare in words)


@lru_cache(maxsize=1)
def _words() -> dict[str, frozenset[str]]:
    """Words by what they speak for, of all languages together."""
    lists: dict[str, set[str]] = {}
    for line in WORDS.read_text(encoding="utf-8").splitlines():
        group, _, words = line.split("\t")
        lists.setdefault(group, set()).update(words.casefold().split())
    return {group: frozenset(words) for group, words in lists.items()}


# Training and measuring ------------------------------------------------------------------------


def read_sample(path: Path) -> list[tuple[str, str]]:
    """(category, text) for each line of a sample. Raises LofiError for a line that is neither."""
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        category, _, text = line.partition("\t")
        if category not in COMMENT_CATEGORIES or not text.strip():
            raise LofiError(f"{path.name} line {number} is not `category<TAB>text`. Mend it.")
        rows.append((category, text))
    return rows


def phrases(path: Path, each: int) -> list[tuple[str, str]]:
    """Sentences of a grammar: (category, text), `each` for every pattern, as its words allow.

    Lines of the file are `=slot` with words, or a category and a pattern with {slots}.
    """
    slots: dict[str, list[str]] = {}
    rows: dict[tuple[str, str], None] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        name, *words = line.split("\t")
        if name.startswith("="):
            slots[name[1:]] = words
            continue
        chance = random.Random(subseed(1, "phrases", line))
        for _ in range(each):
            text = re.sub(r"\{(\w+)\}", lambda m: chance.choice(slots[m[1]]), words[0])  # noqa: B023
            rows[name, text] = None
    return list(rows)


def train(rows: Sequence[tuple[str, str]], *, decay: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights (categories, buckets) and bias (categories,) that fit a sample.

    Multinomial logistic regression by L-BFGS from zero, so that the same sample gives the same
    weights. `decay` is the weight of their squares (L2) against the mean loss.
    """
    import numpy as np
    from scipy.optimize import minimize
    from scipy.sparse import csr_matrix

    names = list(COMMENT_CATEGORIES)
    # Each sentence twice, once as if no list knew its words: the lists were made with the sample in
    # mind, and know its words better than those of others.
    rows = [*rows, *rows]
    half = len(rows) // 2
    vectors = [vector(text, lists=i < half) for i, (_, text) in enumerate(rows)]
    ends = np.cumsum([0, *(len(where) for where, _ in vectors)])
    used, columns = np.unique(np.concatenate([w for w, _ in vectors]), return_inverse=True)
    data = np.concatenate([what for _, what in vectors]).astype(np.float64)
    x = csr_matrix((data, columns.ravel(), ends), shape=(len(rows), len(used)))
    y = np.array([names.index(category) for category, _ in rows])
    shape = (len(names), len(used))

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights, bias = flat[: -len(names)].reshape(shape), flat[-len(names) :]
        logits = x @ weights.T + bias
        logits -= logits.max(axis=1, keepdims=True)
        shares = np.exp(logits)
        shares /= shares.sum(axis=1, keepdims=True)
        told = -np.log(np.maximum(shares[np.arange(len(y)), y], 1e-12)).mean()
        shares[np.arange(len(y)), y] -= 1
        shares /= len(y)
        slope = np.concatenate([(x.T @ shares).T.ravel() + decay * flat[: -len(names)],
                                shares.sum(axis=0)])  # fmt: skip
        return told + decay / 2 * float((flat[: -len(names)] ** 2).sum()), slope

    start = np.zeros(shape[0] * shape[1] + len(names))
    best = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 200}).x
    weights = np.zeros((len(names), BUCKETS), dtype=np.float32)
    weights[:, used] = best[: -len(names)].reshape(shape)
    return weights, best[-len(names) :].astype(np.float32)


def confusion(said: Iterable[str], meant: Iterable[str]) -> dict[str, dict[str, int]]:
    """How often each category (`meant`) was taken for each (`said`)."""
    table = {m: dict.fromkeys(COMMENT_CATEGORIES, 0) for m in COMMENT_CATEGORIES}
    for s, m in zip(said, meant, strict=True):
        table[m][s] += 1
    return table


def report(rows: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """How well the shipped weights do on a labelled sample.

    Gives `accuracy`, `recall` and `precision` by category, and `confusion`.
    """
    table = confusion(
        (g.category for g in classify_all([text for _, text in rows])), (c for c, _ in rows)
    )
    right = sum(table[c][c] for c in COMMENT_CATEGORIES)
    said = {c: sum(row[c] for row in table.values()) for c in COMMENT_CATEGORIES}
    return {
        "comments": len(rows),
        "accuracy": right / len(rows),
        "recall": {c: table[c][c] / max(1, sum(table[c].values())) for c in COMMENT_CATEGORIES},
        "precision": {c: table[c][c] / max(1, said[c]) for c in COMMENT_CATEGORIES},
        "confusion": table,
    }
