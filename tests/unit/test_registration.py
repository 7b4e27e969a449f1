"""What is given is what is served, and the settings of the app that serves it hold wherever it was registered."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
import trio
import trio.testing
from attrs import define
from quart import Blueprint, abort, url_for
from quart_trio import QuartTrio

from tests.apps import PREFIX
from trio_streamact import ActionError, Limits, Stream, StreamActions, define_stream_action
from trio_streamact._codegen import describe, javascript
from trio_streamact.extension import routes_of
from trio_streamact.testing import open_stream

View = Callable[..., Awaitable[Any]]


@define_stream_action
async def secret(stream: Stream[str]) -> None:
    await stream.send("the secret")


# Each of these lets nobody through


def async_guard(view: View) -> View:
    @functools.wraps(view)
    async def guarded(**route: Any) -> Any:
        abort(401)

    return guarded


def plain_guard(view: View) -> View:
    @functools.wraps(view)
    def guarded(**route: Any) -> Awaitable[Any]:
        abort(401)

    return guarded


class ObjectGuard:
    def __init__(self, view: View) -> None:
        functools.update_wrapper(self, view)

    async def __call__(self, **route: Any) -> Any:
        abort(401)


def method_guard(view: View) -> View:
    class Guards:
        @functools.wraps(view)
        async def guarded(self, **route: Any) -> Any:
            abort(401)

    return Guards().guarded


def partial_guard(view: View) -> View:
    @functools.wraps(view)
    async def guarded(reason: int, **route: Any) -> Any:
        abort(reason)

    return functools.partial(guarded, 401)


GUARDS = [async_guard, plain_guard, ObjectGuard, method_guard, partial_guard]


@pytest.mark.parametrize("guard", GUARDS)
@pytest.mark.parametrize("levels", [1, 3])
async def test_a_decorator_of_a_view_guards_it(
    autojump_clock: trio.testing.MockClock, guard: Callable[[View], View], levels: int
) -> None:
    app = QuartTrio(__name__)
    view: Any = secret
    for _ in range(levels - 1):
        view = passing(view)
    StreamActions(app).post("/secret")(guard(view))

    async with open_stream(app, f"{PREFIX}/secret") as stream:
        assert stream.status == 401
        assert b"secret" not in await stream.next_bytes()


def passing(view: View) -> View:
    @functools.wraps(view)
    async def passed(**route: Any) -> Any:
        return await view(**route)

    return passed


def plainly_passing(view: View) -> View:
    @functools.wraps(view)
    def passed(**route: Any) -> Awaitable[Any]:
        return view(**route)

    return passed


@pytest.mark.parametrize("decorator", [passing, plainly_passing, functools.partial])
async def test_a_decorator_that_lets_through_lets_through(
    autojump_clock: trio.testing.MockClock, decorator: Callable[[View], View]
) -> None:
    app = QuartTrio(__name__)
    actions = StreamActions(app)
    actions.post("/secret")(decorator(secret))

    async with open_stream(app, f"{PREFIX}/secret") as stream:
        assert await stream.rest() == ["the secret"]
    assert [route.action.name for route in routes_of(app)] == ["secret"]


@pytest.mark.parametrize("decorator", [passing, plainly_passing])
async def test_a_decorator_of_a_handler_runs_within_the_stream(
    autojump_clock: trio.testing.MockClock, decorator: Callable[[Any], Any]
) -> None:
    app = QuartTrio(__name__)
    seen = []

    async def words(input: dict[str, str], stream: Stream[str]) -> None:
        await stream.send(input["word"])

    def noted(handler: Any) -> Any:
        @functools.wraps(handler)
        async def noting(**arguments: Any) -> Any:
            seen.append(sorted(arguments))
            return await handler(**arguments)

        return noting

    StreamActions(app).post("/words")(decorator(noted(words)))
    async with open_stream(app, f"{PREFIX}/words", json={"word": "hi"}) as stream:
        assert await stream.rest() == ["hi"]
    assert seen == [["input", "stream"]]


async def test_a_decorated_view_can_be_served_beside_the_bare_one(autojump_clock: trio.testing.MockClock) -> None:
    app = QuartTrio(__name__)
    actions = StreamActions(app)
    actions.post("/open")(secret)
    actions.post("/closed")(async_guard(secret))

    for path, status in (("/open", 200), ("/closed", 401)):
        async with open_stream(app, PREFIX + path) as stream:
            assert stream.status == status


@pytest.mark.parametrize("decorator", [passing, plainly_passing, async_guard, ObjectGuard])
def test_a_decorator_above_the_registration_is_refused(decorator: Callable[[View], View]) -> None:
    registered = StreamActions(QuartTrio(__name__)).post("/secret")(secret)
    with pytest.raises(TypeError, match=f"above the decorator that registers the action at POST {PREFIX}/secret"):
        decorator(registered)


def test_a_registration_above_another_is_none_of_that() -> None:
    app = QuartTrio(__name__)
    actions = StreamActions(app)
    actions.get("/b")(actions.post("/a")(secret))
    assert [route.path for route in routes_of(app)] == [f"{PREFIX}/a", f"{PREFIX}/b"]


def hiding(handler: Any) -> Any:
    async def hidden(*arguments: Any, **named: Any) -> Any: ...

    return hidden


def yielding(view: View) -> Any:
    @functools.wraps(view)
    async def yielded(**route: Any) -> Any:
        yield await view(**route)

    return yielded


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: hiding(secret), "keep the names of the parameters, with functools.wraps"),
        (
            lambda: yielding(secret),
            "a decorator of a view must return a function that returns the response of the view",
        ),
        (lambda: None, "must be an async function, not None"),
        (
            lambda: define_stream_action(cast("Any", secret)),
            "handler secret: parameter .* is not valid, because arguments are passed by name",
        ),
    ],
)
def test_a_decorator_that_cannot_work_is_refused_with_what_to_do(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(TypeError, match=words):
        StreamActions().post("/secret")(make())


def test_marks_of_decorators_stand_on_the_view_that_is_served() -> None:
    def mark(function: Any) -> Any:
        function.mark = "kept"
        return function

    async def handler(stream: Stream[int]) -> None: ...

    for given in (mark(handler), mark(define_stream_action(handler)), passing(mark(define_stream_action(handler)))):
        app = QuartTrio(__name__)
        StreamActions(app).post("/it")(given)
        assert getattr(app.view_functions["streamact.handler"], "mark", None) == "kept"


@pytest.mark.parametrize("decorate", [ObjectGuard, functools.partial, partial_guard])
def test_marks_stand_on_the_view_also_through_objects_and_partials(decorate: Callable[[Any], Any]) -> None:
    app = QuartTrio(__name__)
    actions = StreamActions(app)

    async def handler(stream: Stream[str]) -> None: ...

    handler.mark = "kept"  # type: ignore[attr-defined]
    served = [actions.post("/view")(decorate(define_stream_action(handler, name="view")))]
    if decorate is functools.partial:
        served.append(actions.post("/handler", name="handler")(decorate(handler)))
    assert [view.mark for view in served] == ["kept"] * len(served)  # type: ignore[attr-defined]


# Settings


SETTINGS: dict[str, Any] = {
    "limits": Limits(lifetime_s=1, streams=1),
    "dialect": "named",
    "allow_origins": ["https://a.example"],
    "handle_server_error": lambda error: ActionError("MAPPED", "in our words"),
    "client_key": lambda request, ctx: None,
}


@define_stream_action
async def ticks(stream: Stream[int]) -> None:
    await stream.send(0)
    await trio.sleep(60)


@define_stream_action
async def fails(stream: Stream[int]) -> None:
    raise LookupError("secret")


def by_actions(app: QuartTrio, actions: StreamActions) -> str:
    actions.post("/ticks")(ticks)
    actions.post("/fails")(fails)
    return PREFIX


def by_app_post(app: QuartTrio, actions: StreamActions) -> str:
    app.post("/x/ticks")(ticks)
    app.post("/x/fails")(passing(fails))
    return "/x"


def by_rule(app: QuartTrio, actions: StreamActions) -> str:
    app.add_url_rule("/x/ticks", view_func=ticks, methods=["POST"])
    app.add_url_rule("/x/fails", "other", fails, methods=["POST"])
    return "/x"


def chat_blueprint(name: str = "chat", **options: Any) -> Blueprint:
    blueprint = Blueprint(name, __name__, **options)
    blueprint.post("/ticks")(ticks)
    blueprint.post("/fails")(passing(fails))
    return blueprint


def by_blueprint(app: QuartTrio, actions: StreamActions) -> str:
    app.register_blueprint(chat_blueprint(), url_prefix="/x")
    return "/x"


def by_nested_blueprint(app: QuartTrio, actions: StreamActions) -> str:
    parent = Blueprint("parent", __name__, url_prefix="/parent")
    parent.register_blueprint(chat_blueprint(url_prefix="/chat"))
    app.register_blueprint(parent)
    return "/parent/chat"


def by_blueprint_twice(app: QuartTrio, actions: StreamActions) -> str:
    blueprint = chat_blueprint()
    app.register_blueprint(blueprint, url_prefix="/first")
    app.register_blueprint(blueprint, url_prefix="/second", name="again")
    return "/second"


WAYS = [by_actions, by_app_post, by_rule, by_blueprint, by_nested_blueprint, by_blueprint_twice]


@pytest.mark.parametrize("register", WAYS)
@pytest.mark.parametrize("late", [False, True], ids=["extension first", "factory"])
async def test_an_app_s_settings_hold_wherever_its_actions_were_registered(
    autojump_clock: trio.testing.MockClock, register: Callable[[QuartTrio, StreamActions], str], late: bool
) -> None:
    app = QuartTrio(__name__)
    actions = StreamActions(None if late else app, **SETTINGS)
    prefix = register(app, actions)
    if late:
        actions.init_app(app)

    origin = {"Origin": "https://a.example", "Sec-Fetch-Site": "cross-site"}
    async with open_stream(app, f"{prefix}/ticks", headers=origin) as stream:
        assert await stream.next_chunk() == 0
        async with open_stream(app, f"{prefix}/ticks") as second:
            with pytest.raises(ActionError) as refused:
                await second.rest()
            assert refused.value.code == "TOO_MANY_STREAMS"
        with pytest.raises(ActionError) as over:
            await stream.rest()
        assert over.value.code == "TIMEOUT_ERROR"
        assert b"event: error\n" in stream.body
    async with open_stream(app, f"{prefix}/fails") as stream:
        with pytest.raises(ActionError) as mapped:
            await stream.rest()
        assert mapped.value.code == "MAPPED"
    async with open_stream(app, f"{prefix}/ticks", headers={**origin, "Origin": "https://b.example"}) as stream:
        with pytest.raises(ActionError) as cross_site:
            await stream.rest()
        assert cross_site.value.code == "CROSS_SITE_REQUEST"


@pytest.mark.parametrize("register", WAYS)
def test_actions_are_described_wherever_they_were_registered(
    register: Callable[[QuartTrio, StreamActions], str],
) -> None:
    app = QuartTrio(__name__)
    actions = StreamActions(app, **SETTINGS)
    prefix = register(app, actions)

    described = [(action.name, action.route.path, action.dialect) for action in describe(routes_of(app)).actions]
    assert ("ticks", f"{prefix}/ticks", "named") in described
    assert ("fails", f"{prefix}/fails", "named") in described
    assert f'path: "{prefix}/ticks", method: "POST"' in javascript(routes_of(app))
    assert set(actions.openapi()["paths"]) == {path for _, path, _ in described}


async def test_one_action_in_two_apps_has_the_settings_of_each(autojump_clock: trio.testing.MockClock) -> None:
    bodies = []
    for dialect in ("marked", "named"):
        app = QuartTrio(__name__)
        StreamActions(app, dialect=dialect)
        app.post("/secret")(secret)
        async with open_stream(app, "/secret") as stream:
            await stream.rest()
        bodies.append(stream.body)
    assert b"__actions_done" in bodies[0]
    assert b"event: done" in bodies[1]


async def test_each_extension_of_an_app_keeps_its_settings_and_a_blueprint_has_the_first_one_s(
    autojump_clock: trio.testing.MockClock,
) -> None:
    app = QuartTrio(__name__)
    first = StreamActions(app, url_prefix="/first", limits=Limits(lifetime_s=1))
    second = StreamActions(app, url_prefix="/second", limits=Limits(lifetime_s=2))
    for actions in (first, second):
        actions.post("/ticks")(ticks)
    app.register_blueprint(chat_blueprint(), url_prefix="/blueprint")

    for path, seconds in (("/first", 1), ("/second", 2), ("/blueprint", 1)):
        began = trio.current_time()
        async with open_stream(app, f"{path}/ticks") as stream:
            with pytest.raises(ActionError):
                await stream.rest()
        assert trio.current_time() - began == pytest.approx(seconds, abs=0.2)


async def test_an_action_on_a_subdomain_is_served_and_described(autojump_clock: trio.testing.MockClock) -> None:
    app = QuartTrio(__name__, subdomain_matching=True)
    app.config["SERVER_NAME"] = "example.test"
    StreamActions(app, **SETTINGS)
    app.register_blueprint(chat_blueprint(subdomain="api"))

    async with open_stream(app, "/fails", headers={"Host": "api.example.test"}) as stream:
        with pytest.raises(ActionError) as mapped:
            await stream.rest()
    assert mapped.value.code == "MAPPED"
    assert [route.path for route in routes_of(app)] == ["/ticks", "/fails"]


async def test_an_action_within_another_view_has_the_settings_of_the_app(
    autojump_clock: trio.testing.MockClock,
) -> None:
    app = QuartTrio(__name__)
    StreamActions(app, dialect="named")

    @app.get("/page")
    async def page() -> Any:
        return await secret()

    async with open_stream(app, "/page", method="GET") as stream:
        assert await stream.rest() == ["the secret"]
        assert b"event: done" in stream.body


async def test_url_for_knows_actions(autojump_clock: trio.testing.MockClock) -> None:
    app = QuartTrio(__name__)
    app.config["SERVER_NAME"] = "example.test"
    StreamActions(app).post("/ticks/<int:start>")(ticks)
    async with app.app_context():
        assert url_for("streamact.ticks", start=3).endswith(f"{PREFIX}/ticks/3")


# Names


def test_a_name_of_its_own_is_what_references_and_reports_call_an_action() -> None:
    actions = StreamActions()

    @actions.post("/chat", name="chat.answer")
    async def answer(stream: Stream[int]) -> None: ...

    assert (answer.action.name, answer.__name__) == ("chat.answer", "answer")
    assert "export const chatAnswer" in javascript(actions._routes)


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        (5, TypeError, "a string"),
        ("", ValueError, "letter"),
        ("!", ValueError, "letter"),
        ("a\nb", ValueError, "printable"),
    ],
)
def test_a_name_that_is_none_is_refused(name: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=f"name must be .*{words}"):
        define_stream_action(name=name)


def test_actions_of_one_name_on_blueprints_are_told_apart_by_the_blueprint() -> None:
    app = QuartTrio(__name__)
    StreamActions(app)
    for name in ("orders", "chat"):
        blueprint = Blueprint(name, __name__, url_prefix=f"/{name}")

        @blueprint.get("/")
        @define_stream_action
        async def list_all(stream: Stream[int]) -> None: ...

        app.register_blueprint(blueprint)
    named = {action.export: action.route.path for action in describe(routes_of(app)).actions}
    assert named == {"listAll": "/orders/", "chatListAll": "/chat/"}


# What authors write by mistake


@define
class Row:
    x: int


async def returns_rows(stream: Stream[Row]) -> list[Row]:
    return []


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: StreamActions().post(cast("Any", secret)),
            r"path must be a string, not <function .*write @actions.post\('/path'\)",
        ),
        (lambda: StreamActions().post("/x")(returns_rows), "annotated to return a value, which is not sent"),
        (lambda: StreamActions(handle_server_error=lambda: None), "must accept one argument, the exception"),  # type: ignore[arg-type, misc]
        (lambda: StreamActions(handle_server_error=lambda a, b: None), "must accept one argument, the exception"),  # type: ignore[arg-type, misc]
    ],
)
def test_a_mistake_is_told_where_it_is_made(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(TypeError, match=words):
        make()


async def test_a_value_that_a_handler_returns_is_not_lost_without_a_word(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    app = QuartTrio(__name__)

    @StreamActions(app).post("/it")
    async def it(stream):  # type: ignore[no-untyped-def]
        return 5

    async with open_stream(app, f"{PREFIX}/it") as stream:
        assert await stream.rest() == []
    assert "stream action it returned a value, which is not sent" in caplog.text
