"""What only the Vue client promises: refs as Vue knows them, and a run that belongs to a scope."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browsers import DESK, open_page
from tests.pages import Site, execute, go_to_client, mount, run

pytestmark = [pytest.mark.browser, pytest.mark.node]

IMPORTS = """
    const vue = await import("vue");
    const { useStreamAction } = await import("/api/_actions/_client/vue.js");
"""


@pytest.fixture
def page(browser: Browser, site: Site, complaints: list[str]) -> Iterator[Page]:
    with open_page(browser, DESK, complaints) as page:
        go_to_client(page, site.url, "vue")
        yield page
        assert complaints == []


def do(page: Page, script: str) -> Any:
    """Run *script*, the body of an async function, with Vue and our function at hand."""
    return run(page, IMPORTS + script)


def test_a_chunk_is_the_very_object_that_came_and_costs_no_copy(page: Page) -> None:
    result = do(
        page,
        """
        const came = [];
        const arrays = new Set();
        const onChunk = (chunk) => {
          came.push(chunk);
          arrays.add(chunks.value);
        };
        const { execute, chunks, data } = useStreamAction("/api/_actions/burst", { onChunk });
        await execute({ count: 3 });
        return [
          chunks.value.every((chunk, index) => chunk === came[index]),
          data.value === came[2],
          [chunks.value, chunks.value[0], data.value].some(vue.isProxy),
          arrays.size,
        ];
        """,
    )
    assert result == [True, True, False, 1]


def test_nobody_else_can_set_the_refs(page: Page, complaints: list[str]) -> None:
    result = do(
        page,
        """
        const { chunks, data, status, error } = useStreamAction("/api/_actions/burst");
        const refs = [chunks, data, status, error];
        for (const each of refs) each.value = "mine";
        return [refs.every(vue.isRef), refs.map((each) => each.value)];
        """,
    )
    assert result == [True, [[], None, "idle", None]]
    assert len(complaints) == 4
    assert all("target is readonly" in complaint for complaint in complaints)
    complaints.clear()


def test_whatever_follows_refs_follows_chunks_as_they_come(page: Page) -> None:
    result = do(
        page,
        """
        const { execute, chunks, status } = useStreamAction("/api/_actions/told");
        const text = vue.computed(() => chunks.value.map((chunk) => chunk.text).join(""));
        const texts = [], counts = [], effects = [];
        vue.watch(text, (now) => texts.push(now), { flush: "sync" });
        vue.watch(chunks, (now) => counts.push(now.length));
        vue.watchEffect(() => effects.push([status.value, chunks.value.length]));
        const over = execute();
        for (const word of ["a", "b", "c"]) {
          await say(word);
          await until(() => chunks.value.at(-1)?.text === word);
        }
        await say("end");
        await over;
        await vue.nextTick();
        return { texts, counts, effects };
        """,
    )
    assert result == {
        "texts": ["a", "ab", "abc"],
        "counts": [0, 1, 2, 3],
        "effects": [["idle", 0], *(["streaming", count] for count in range(4)), ["done", 3]],
    }


def test_a_callback_finds_its_chunk_in_the_refs(page: Page) -> None:
    result = do(
        page,
        """
        const seen = [];
        const { execute, chunks, data, status } = useStreamAction("/api/_actions/words", {
          onChunk: (chunk) => seen.push([chunks.value.at(-1) === chunk, data.value === chunk, status.value]),
          onDone: (all) => seen.push([all === chunks.value, status.value]),
        });
        await execute({ prompt: "a b" });
        return seen;
        """,
    )
    assert result == [[True, True, "streaming"], [True, True, "streaming"], [True, "done"]]


def test_the_end_of_any_scope_stops_the_run(page: Page, site: Site) -> None:
    result = do(
        page,
        """
        const scope = vue.effectScope();
        const { execute, status, chunks } = scope.run(() => useStreamAction("/api/_actions/ticks"));
        const over = execute();
        await new Promise((resolve) => vue.watch(chunks, ({ length }) => length && resolve()));
        scope.stop();
        await over;
        return [status.value, chunks.value.length > 0];
        """,
    )
    assert result == ["done", True]
    site.wait(site.journal.wait_for, finished=1)
    assert site.journal.cancelled == 1


def test_once_its_component_is_gone_nothing_can_be_begun(page: Page, site: Site) -> None:
    mount(page, "burst")
    page.evaluate("client.unmount()")
    execute(page, "{ count: 1 }")
    assert page.evaluate("client.state().status") == "idle"
    assert site.journal.started == 0


def test_an_interrupted_component_that_is_kept_alive_goes_on(page: Page) -> None:
    result = do(
        page,
        """
        const isShown = vue.ref(true);
        let held;
        const Stream = {
          setup: () => (held = useStreamAction("/api/_actions/paced")),
          template: "<p>{{ chunks.length }}</p>",
        };
        const app = vue.createApp({
          components: { Stream },
          setup: () => ({ isShown }),
          template: "<KeepAlive><Stream v-if='isShown' /></KeepAlive>",
        });
        app.mount("#app");
        const over = held.execute({ prompt: "a b c" });
        isShown.value = false;
        await over;
        isShown.value = true;
        await vue.nextTick();
        return document.querySelector("#app").textContent;
        """,
    )
    assert result == "3"
