"""Coming in and going out: the first password, logging in, logging out."""

from __future__ import annotations

import math
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from lofi.brief import InputError
from lofi.studio import Studio, access
from lofi.web._limits import Limiter
from lofi.web._problems import ProblemError
from lofi.web._who import COOKIE, attempt, give_cookie, identify
from lofi.web.dashboard._pages import page

router = APIRouter()

ATTEMPTS_PER_MINUTE = 6
_ALL_PER_MINUTE = 30  # of everybody together: each takes a tenth of a second of a core


def attempts() -> tuple[Limiter, Limiter]:
    """What bounds the guessing of passwords: of each address, and of all together."""
    return Limiter(ATTEMPTS_PER_MINUTE), Limiter(_ALL_PER_MINUTE)


Password = Annotated[str, Form(max_length=1000)]


@router.get("/login")
def login_page(request: Request, back: Annotated[str, Query(alias="next")] = "/") -> Response:
    """Asks for the password; who needs none is sent on."""
    studio: Studio = request.app.state.studio
    try:
        identify(request)
    except ProblemError:
        with studio.database.read() as session:
            known = access.has_password(session)
        return page(
            request, None, "login.html", title="Log in", next=_ours(back), known=known, wrong=""
        )
    return RedirectResponse(_ours(back), 303)


@router.post("/login")
def login(
    request: Request, password: Password, back: Annotated[str, Form(alias="next")] = "/"
) -> Response:
    """Begin a session."""
    studio: Studio = request.app.state.studio
    if wait_s := attempt(request):
        wrong = f"Too many attempts. Wait {math.ceil(wait_s)} s, then try again."
        answer = page(
            request, None, "login.html", status=429, title="Log in", next=_ours(back), known=True,
            wrong=wrong,
        )  # fmt: skip
        answer.headers["Retry-After"] = str(math.ceil(wait_s))
        return answer
    secret = access.log_in(
        studio.database,
        password,
        agent=request.headers.get("user-agent", ""),
        instead_of=request.cookies.get(COOKIE, ""),
    )
    if secret is None:
        with studio.database.read() as session:
            known = access.has_password(session)
        return page(
            request, None, "login.html", status=401, title="Log in", next=_ours(back), known=known,
            wrong="That is not the password. Forgotten? `lofi password` sets another.",
        )  # fmt: skip
    answer = RedirectResponse(_ours(back), 303)
    give_cookie(request, answer, secret)
    return answer


@router.post("/logout")
def logout(request: Request) -> Response:
    """End this browser's session."""
    studio: Studio = request.app.state.studio
    if secret := request.cookies.get(COOKIE):
        with studio.database.write() as session:
            access.log_out(session, access.hash_of(secret), actor=access.OWNER)
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(COOKIE, path="/")
    return answer


@router.get("/setup")
def setup_page(request: Request) -> Response:
    """Asks for the first password, while there is none and nobody needs one."""
    who = identify(request)
    studio: Studio = request.app.state.studio
    with studio.database.read() as session:
        if access.has_password(session):
            return RedirectResponse("/", 303)
    return page(request, who, "setup.html", title="Welcome", wrong="")


@router.post("/setup")
def setup(
    request: Request, password: Password = "", later: Annotated[bool, Form()] = False
) -> Response:
    """Set the first password and log this browser in; or leave it for `later`."""
    who = identify(request)
    studio: Studio = request.app.state.studio
    if not who.may("admin"):
        raise ProblemError("forbidden", "only who may do everything sets the password.")
    if later:
        with studio.database.write() as session:
            access.leave_open(session, actor=who.name)
        return RedirectResponse("/", 303)
    try:
        with studio.database.write() as session:
            if access.has_password(session):
                raise ProblemError("conflict", "there is a password already.", "Log in.")
            access.set_password(session, password, actor=who.name)
            secret = access.begin_session(session, request.headers.get("user-agent", ""))
    except InputError as error:
        return page(request, who, "setup.html", status=422, title="Welcome", wrong=str(error))
    answer = RedirectResponse("/", 303)
    give_cookie(request, answer, secret)
    return answer


def _ours(path: str) -> str:
    """A path of this server to go on to; never another site."""
    plain = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if plain and len(path) < 2000 else "/"
