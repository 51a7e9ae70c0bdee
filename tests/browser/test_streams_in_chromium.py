"""Streams as programs and browsers read them: a client library over connections that break, and an EventSource."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, Route

from config.own_processes import wait_until
from tests.browser.conftest import Open, Site

pytestmark = [pytest.mark.browser]

LIBRARY = Path(__file__).with_name("fetch_event_source")
EVERY = 20  # blocks, of which one is cut
BLOCKS = 530

# A fetch() whose answers break off inside every twentieth block, once what came before was read; the next time it comes whole.
READ = """async ([library, url, key, every]) => {
    const { fetchEventSource } = await import(library);
    const seen = [], cuts = [], blocks = new Map();
    let breaks = 0;
    const text = (bytes) => new TextDecoder().decode(bytes);

    async function* pieces(reader) {
        let rest = "";
        for (let part = await reader.read(); !part.done; part = await reader.read()) {
            const whole = (rest + text(part.value)).split("\\n\\n");
            rest = whole.pop();
            for (const block of whole) {
                if (!blocks.has(block)) blocks.set(block, blocks.size + 1);
                else if (blocks.get(block) % every === 0) blocks.set(block, 1);  // was cut before
                if (blocks.get(block) % every === 0) {
                    cuts.push(block.slice(0, 1 + (cuts.length * 13) % block.length));
                    yield cuts.at(-1);
                    throw new TypeError("network error");
                }
                yield block + "\\n\\n";
            }
        }
    }

    async function breaking(input, options) {
        const answer = await fetch(input, options);
        if (!answer.ok) throw new Error(`refused with ${answer.status}`);
        const reader = answer.body.getReader(), parts = pieces(reader);
        const body = new ReadableStream({
            async pull(controller) {
                try {
                    const part = await parts.next();
                    if (part.done) controller.close();
                    else controller.enqueue(new TextEncoder().encode(part.value));
                } catch (error) {
                    reader.cancel();
                    controller.error(error);
                }
            },
        }, { highWaterMark: 0 });
        return new Response(body, { headers: answer.headers });
    }

    await fetchEventSource(url, {
        headers: { "X-API-Key": key },
        openWhenHidden: true,
        fetch: breaking,
        onmessage(message) {
            if (message.event === "run_event" && message.data) seen.push(JSON.parse(message.data));
        },
        onerror(error) {
            if (error.message !== "network error") throw error;
            breaks += 1;
            return 1;
        },
    });
    return { seen: seen.map((event) => event.seq), last: seen.at(-1).type, breaks, cuts };
}"""


def serve_library(page: Page) -> None:
    """As modules of the page's own origin, which its content policy lets it load."""

    def answer(route: Route) -> None:
        name = urlsplit(route.request.url).path.rsplit("/", 1)[1].removesuffix(".js")
        route.fulfill(body=(LIBRARY / f"{name}.js").read_text(), content_type="text/javascript")

    page.route("**/fetch_event_source/*", answer)


def envelopes(site: Site, run_id: str) -> list[int]:
    found: list[int] = []
    path = f"/runs/{run_id}/events/stream?format=json&limit=200&after="
    while page := site.call("GET", f"{path}{(found or [0])[-1]}")["data"]:
        found += [event["seq"] for event in page]
    return found


def test_T_174_the_client_library_loses_and_doubles_nothing_when_cut_in_every_twentieth_block(
    site: Site, look: Open
) -> None:
    run_id = site.start(f"Count [steps:{BLOCKS - 3}]", max_steps=BLOCKS)
    assert wait_until(lambda: site.status(run_id) == "succeeded", 60, 0.1)
    page = look("ana", "/runs")
    serve_library(page)
    url = f"{site.address}/v1/runs/{run_id}/events/stream"
    result = page.evaluate(READ, [f"{site.address}/fetch_event_source/index.js", url, site.test_key, EVERY])
    stored = envelopes(site, run_id)
    assert len(stored) == BLOCKS
    assert result["seen"] == stored
    assert result["last"] == "run.worker.succeeded"
    assert result["breaks"] == len(result["cuts"]) == BLOCKS // EVERY
    ends = {cut.rsplit("\n", 1)[-1].partition(":")[0] for cut in result["cuts"]}
    assert ends >= {"data", "id"}  # where they broke off


LISTEN = """(url) => {
    window.seen = [];
    window.source = new EventSource(url);
    for (const name of ["status", "step", "done", "run_event"])
        window.source.addEventListener(name, (event) => window.seen.push([event.type, Number(event.lastEventId)]));
}"""


@pytest.mark.parametrize(("path", "name"), [("events", "done"), ("events/stream", "run_event")])
def test_T_175_the_event_source_of_a_finished_run_stays_closed(site: Site, look: Open, path: str, name: str) -> None:
    machine = site.call("POST", "/machines", {"display_name": "Toy", "kind": "simulated"}, site.live_key)["id"]
    run = {"task": "Count [steps:2]", "agent": "scripted", "machine_id": machine}
    run_id = site.call("POST", "/runs", run, site.live_key)["id"]
    page = look("ana", "/runs", world="live")
    page.evaluate(LISTEN, f"/v1/runs/{run_id}/{path}")
    closed = "() => window.source.readyState === EventSource.CLOSED"
    assert wait_until(lambda: page.evaluate(closed), 20, 0.1)
    seen = page.evaluate("() => window.seen")
    end = site.call("GET", f"/runs/{run_id}/events?format=json&limit=200", None, site.live_key)["next_after"]
    assert seen[-1] == [name, end]
    assert len(seen) == len({number for _, number in seen})
