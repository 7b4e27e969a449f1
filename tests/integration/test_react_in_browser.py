"""What only the React client promises: renders that see what is there, and a run that belongs to a component."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browsers import DESK, open_page
from tests.pages import Site, begin, execute, go_to_client, look, mount, run

pytestmark = [pytest.mark.browser, pytest.mark.node]

IMPORTS = """
    const react = await import("react");
    const { createElement: h } = react;
    const { useStreamAction } = await import("/api/_actions/_client/react.js");
    const app = document.querySelector("#app");
"""


@pytest.fixture(params=["react", "react&strict", "react&strict&react=react-18"])
def page(browser: Browser, site: Site, complaints: list[str], request: pytest.FixtureRequest) -> Iterator[Page]:
    with open_page(browser, DESK, complaints) as page:
        go_to_client(page, site.url, request.param)
        yield page
        assert complaints == []


def do(page: Page, script: str) -> Any:
    """Run *script*, the body of an async function, with React and our hook at hand."""
    return run(page, IMPORTS + script)


def test_the_options_of_the_last_render_count(page: Page) -> None:
    result = do(
        page,
        """
        const told = [];
        const show = (who) => client.mount("/api/_actions/who", {
          headers: { "X-Who": who },
          onChunk: (chunk) => told.push([who, chunk]),
        });
        show("me");
        await client.execute();
        show("you");
        await client.execute();
        const over = client.execute();
        show("them");
        await over;
        return told;
        """,
    )
    assert result == [["me", "me"], ["you", "you"], ["them", "you"]]


def test_a_render_with_the_same_action_does_not_disturb_the_run(page: Page, site: Site) -> None:
    result = do(
        page,
        """
        const action = () => ({ path: "/api/_actions/paced", method: "POST" });
        client.mount(action());
        const { execute, stop } = client.held();
        const over = execute({ prompt: "a b c" });
        await until(() => look().chunks.length);
        client.mount(action());
        await over;
        return [execute === client.held().execute, stop === client.held().stop, look().status, look().chunks.length];
        """,
    )
    assert result == [True, True, "done", 3]
    assert site.journal.cancelled == 0


@pytest.mark.parametrize("other", ["'/api/_actions/burst'", "{ path: '/api/_actions/ticks', method: 'GET' }"])
def test_another_action_begins_anew_and_stops_the_run_of_the_one_before(page: Page, site: Site, other: str) -> None:
    mount(page, "ticks")
    begin(page)
    page.wait_for_function("look().chunks.length >= 2")
    page.evaluate(f"client.mount({other}, told())")
    assert look(page) == {"status": "idle", "chunks": [], "data": None, "error": None}
    site.wait(site.journal.wait_for, finished=1)
    assert site.journal.cancelled == 1

    begin(page, "{ count: 1 }")
    page.wait_for_function("look().chunks.length >= 1")


def test_who_is_given_the_chunks_sees_that_there_are_more(page: Page) -> None:
    result = do(
        page,
        """
        const seen = [], effects = [];
        const List = react.memo(({ chunks }) => chunks.map((chunk, index) => h("i", { key: index }, chunk.text)));
        let held;
        function Words() {
          const stream = held = useStreamAction("/api/_actions/told");
          const { chunks } = stream;
          const text = react.useMemo(() => chunks.map((chunk) => chunk.text).join(""), [chunks]);
          react.useEffect(() => void effects.push(chunks.length), [chunks]);
          if (stream.chunks !== chunks) throw new Error("another array within one render");
          return [h(List, { key: "list", chunks }), h("b", { key: "text" }, text)];
        }
        new MutationObserver(() => seen.push(app.textContent)).observe(app, { subtree: true, childList: true });
        client.show(h(Words));
        held.execute();
        await say("a");
        await until(() => seen.at(-1) === "aa");
        const earlier = held.chunks;
        for (const word of ["b", "c", "end"]) {
          await say(word);
          await until(() => held.data.text === word || held.status === "done");
        }
        await until(() => held.status === "done");
        return [seen.filter(Boolean), [...new Set(effects)], earlier.length];
        """,
    )
    assert result == [["aa", "abab", "abcabc"], [0, 1, 2, 3], 1]


def test_what_a_render_was_given_stays_as_it_was(page: Page) -> None:
    result = do(
        page,
        """
        let held;
        const Words = () => (held = useStreamAction("/api/_actions/told")).status;
        client.show(h(Words));
        const idle = held;
        held.execute();
        await say("a");
        await until(() => held.data);
        const first = held;
        await say("b");
        await until(() => held.data.text === "b");
        const second = held;
        await say("end");
        await until(() => held.status === "done");
        return [idle, first, second, held].map(({ chunks }) => chunks.length);
        """,
    )
    assert result == [0, 1, 2, 2]


def test_a_run_begun_once_for_all_mounts_survives_strict_mode(page: Page, site: Site) -> None:
    result = do(
        page,
        """
        let held;
        function Eager() {
          const hasBegun = react.useRef(false);
          const { execute, status, chunks } = (held = useStreamAction("/api/_actions/paced"));
          react.useEffect(() => {
            if (hasBegun.current) return;
            hasBegun.current = true;
            execute({ prompt: "a b c" });
          }, [execute]);
          return `${status} ${chunks.length}`;
        }
        client.show(h(Eager));
        await until(() => held.status === "done");
        return app.textContent;
        """,
    )
    assert result == "done 3"
    assert (site.journal.started, site.journal.cancelled) == (1, 0)


def test_a_run_begun_by_every_mount_is_one_in_the_end(page: Page, site: Site) -> None:
    result = do(
        page,
        """
        let held;
        function Eager() {
          const { execute, status, chunks } = (held = useStreamAction("/api/_actions/paced"));
          react.useEffect(() => void execute({ prompt: "a b c" }), [execute]);
          react.useLayoutEffect(() => void execute({ prompt: "x y z" }), [execute]);
          return `${status} ${chunks.map((chunk) => chunk.text).join("")}`;
        }
        client.show(h(Eager));
        await until(() => held.status === "done");
        return app.textContent;
        """,
    )
    assert result == "done abc"
    site.wait(site.journal.wait_for, finished=site.journal.started)


def test_once_its_component_is_gone_nothing_can_be_begun(page: Page, site: Site) -> None:
    mount(page, "burst")
    page.evaluate("client.unmount()")
    execute(page, "{ count: 1 }")
    assert site.journal.started == 0


def test_what_is_hidden_stops_and_can_be_used_again_when_it_is_shown(page: Page, site: Site) -> None:
    result = do(
        page,
        """
        if (!react.Activity) return "no Activity";
        let held;
        const Ticks = () => (held = useStreamAction("/api/_actions/ticks")).status;
        const show = (mode) => client.show(h(react.Activity, { mode }, h(Ticks)));
        show("visible");
        held.execute();
        await until(() => held.chunks.length > 1);
        show("hidden");
        await until(() => held.status === "done");
        show("visible");
        held.execute();
        await until(() => held.chunks.length > 1);
        held.stop();
        return "seen";
        """,
    )
    if result == "seen":
        site.wait(site.journal.wait_for, finished=2)
        assert site.journal.cancelled == 2


def test_a_page_that_the_server_rendered_comes_to_life(page: Page) -> None:
    result = do(
        page,
        """
        let held;
        function Words() {
          const { status, chunks } = (held = useStreamAction("/api/_actions/burst"));
          return h("p", null, `${status} ${chunks.length}`);
        }
        const place = document.createElement("div");
        place.innerHTML = react.renderToString(h(Words));
        const before = place.firstChild;
        const rendered = place.textContent;
        react.hydrateRoot(place, h(Words));
        await until(() => held && place.firstChild[Object.keys(before).find((key) => key.startsWith("__react"))]);
        await held.execute({ count: 2 });
        await until(() => place.textContent === "done 2");
        return [rendered, place.firstChild === before];
        """,
    )
    assert result == ["idle 0", True]


def test_no_part_of_a_page_is_ahead_of_another(page: Page) -> None:
    result = do(
        page,
        """
        const torn = [];
        let held;
        const Slow = react.memo(({ counts }) => {
          const began = performance.now();
          while (performance.now() - began < 5);
          if (new Set(counts).size > 1) torn.push(counts);
          return counts.join();
        });
        function Ticks() {
          const stream = (held = useStreamAction("/api/_actions/ticks"));
          const late = react.useDeferredValue(stream);
          return Array.from({ length: 5 }, (_, index) =>
            h(Slow, { key: index, counts: [late.chunks.length, late.data === null ? 0 : late.data + 1] }));
        }
        client.show(h(Ticks));
        held.execute();
        await until(() => held.chunks.length > 20);
        held.stop();
        return torn;
        """,
    )
    assert result == []
