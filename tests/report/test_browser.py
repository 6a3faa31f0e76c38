"""The page in a real browser: accessible, quick, offline, complete on paper, and of use without a mouse or a script."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from assay.report.html import render
from tests.report import factory
from tests.report.conftest import Open

pytestmark = pytest.mark.browser

RULES = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]},
    "resultTypes": ["violations"],
}
OPEN_BUDGET = 1.0  # seconds, from the design
SEARCH_BUDGET = 0.05
BIG = 800
FEW = 16  # every kind of verdict and picture occurs; axe needs 30 ms for an element


def violations(page: Any) -> list[str]:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="install assay[dev]")
    found = axe.Axe().run(page, options=RULES).response["violations"]
    return [f"{v['id']}: {v['help']} ({len(v['nodes'])} times, first {v['nodes'][0]['html'][:160]})" for v in found]


def statements(page: Any) -> list[str]:
    """The ids of the statements that can be seen."""
    seen: list[str] = page.eval_on_selector_all(
        "article.statement:not([hidden])", "all => all.map(a => a.querySelector('.permalink').textContent)"
    )
    return seen


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_no_rule_of_accessibility_is_broken(visit: Open, scheme: str, width: int) -> None:
    page = visit(FEW, color_scheme=scheme, viewport={"width": width, "height": 900})
    assert violations(page) == []
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert violations(page) == []


def test_the_check_of_accessibility_sees_a_planted_fault(visit: Open) -> None:
    page = visit(20)
    page.evaluate("document.querySelector('h1').innerHTML += '<a href=\"#x\"></a>'")
    assert any(found.startswith("link-name") for found in violations(page))


def test_a_broken_claim_is_accessible_too(visit: Open, tmp_path: Path) -> None:
    claim = factory.claim(
        status="toothless", problem="ValueError: x", figures=[factory.figure(40, 6), factory.figure(200)],
        controls=[factory.control(turned=False, why="never called")], docstring=r"Reading: $\frac{1}{n}$.",
    )  # fmt: skip
    entry = factory.decided(factory.statement(), [claim], "ambiguous", correct="This.")
    entry["readings"] = [{"reading": "as stated", "verdict": "holds", "claims": []}] * 2
    path = tmp_path / "broken.html"
    path.write_text(render(factory.results([entry], [claim], partial=True)), encoding="utf-8")
    for scheme in ("light", "dark"):
        page = visit(path, "gfg-1.1", color_scheme=scheme)
        assert violations(page) == []


def seconds_of_work(page: Any) -> float:
    """What the page's thread has worked so far; unlike a clock on the wall, it leaves out what other programs do."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    metrics = {entry["name"]: entry["value"] for entry in session.send("Performance.getMetrics")["metrics"]}
    return float(metrics["TaskDuration"])


def test_the_page_opens_quickly(browser: Any, pages: Any) -> None:
    context = browser.new_context()
    page = context.new_page()
    before = seconds_of_work(page)
    page.goto(pages(BIG).as_uri())
    assert seconds_of_work(page) - before < OPEN_BUDGET
    context.close()


def test_search_and_filters_answer_quickly(visit: Open) -> None:
    page = visit(BIG)
    page.focus("#q")
    answer = """text => {
        document.getElementById('q').value = text;
        document.getElementById('q').dispatchEvent(new Event('input', {bubbles: true}));
        document.body.offsetHeight;
    }"""
    for text in ("m", "mom", "momentum", "momentum softmax", ""):
        before = seconds_of_work(page)
        page.evaluate(answer, text)
        assert seconds_of_work(page) - before < SEARCH_BUDGET


def test_search_looks_into_statements_evidence_and_ids(visit: Open) -> None:
    results = factory.synthetic(60)
    page = visit(60)
    page.fill("#q", "gfg-2.1")
    assert statements(page)[0] == "gfg-2.1"
    page.fill("#q", "clopper exact")
    sampled = {c["statement_id"] for c in results["claims"] if c["grade"] == "statistical"}
    assert set(statements(page)) == sampled
    page.fill("#q", "no such words anywhere")
    assert statements(page) == []
    page.click("text=Clear the search and the filters")
    assert len(statements(page)) == 60


def saying(tmp_path: Path, *sentences: str) -> Path:
    """A page with a statement for each sentence, said by its claim."""
    claims = [factory.claim(f"gfg-1.{k}", sentence=said, docstring="") for k, said in enumerate(sentences, 1)]
    entries = [factory.decided(factory.statement(c["statement_id"]), [c], "holds") for c in claims]
    path = tmp_path / "saying.html"
    path.write_text(render(factory.results(entries, claims)), encoding="utf-8")
    return path


def test_search_takes_many_spellings_for_one_and_no_furniture(visit: Open, tmp_path: Path) -> None:
    page = visit(saying(tmp_path, "With p = 2K_w − 1 the regularisation of other 3x3 kernels stays <= 10⁻⁹."))
    for text in ("2kw - 1", "“regularization”", "'regularisation of'", "3×3", "≤ 10-9", "p = 2K_w", "of"):
        page.fill("#q", text)
        assert statements(page) == ["gfg-1.1"], text
    for text in ("holds", "copy", "as claimed", "he refutes", "turned", "measured against"):
        page.fill("#q", text)
        assert statements(page) == [], text


def test_a_short_word_is_a_word_of_its_own_if_there_is_one(visit: Open, tmp_path: Path) -> None:
    page = visit(saying(tmp_path, "He weights suit it.", "Other theories differ."))
    for text, found in (("he", ["gfg-1.1"]), ("eo", ["gfg-1.2"]), ("zz", []), ("theo", ["gfg-1.2"])):
        page.fill("#q", text)
        assert statements(page) == found, text


@pytest.mark.parametrize("name", ["verdict", "topic", "document", "grade", "subject"])
def test_a_filter_shows_exactly_what_it_says_and_stands_in_the_address(visit: Open, name: str) -> None:
    results = factory.synthetic(60)
    by_id = {c["id"]: c for c in results["claims"] if c["subject"] == "reference"}
    value, wanted = {
        "verdict": ("refuted", lambda s: s["verdict"] == "refuted"),
        "topic": ("losses", lambda s: s["topic"] == "losses"),
        "document": ("ib", lambda s: s["document"] == "ib"),
        "grade": ("proved", lambda s: any(by_id[c]["grade"] == "proved" for c in s["claims"])),
        "subject": ("torch", lambda s: any(runs(results, c) for c in s["claims"])),
    }[name]
    expected = [s["id"] for s in results["statements"] if wanted(s)]
    page = visit(60)
    page.select_option(f"#{name}", value)
    assert statements(page) == expected
    assert 0 < len(expected) < 60
    page.wait_for_url(re.compile("#.+"))
    assert page.inner_text("#shown") == f"{len(expected)} of 60 statements"
    again = visit(60, page.url.split("#")[1])
    assert statements(again) == expected
    assert again.input_value(f"#{name}") == value


def runs(results: dict[str, Any], claim_id: str) -> bool:
    return any(
        c["id"] == claim_id and c["subject"] == "torch" and c["verdict"] != "unsupported" for c in results["claims"]
    )


def test_filters_join_and_clear(visit: Open) -> None:
    page = visit(60, "verdict=holds&document=gfg&q=softmax")
    assert page.input_value("#q") == "softmax"
    shown = statements(page)
    assert shown
    assert all(sid.startswith("gfg") for sid in shown)
    page.click("#tools [type=reset]")
    assert len(statements(page)) == 60
    assert page.url.endswith("#")


def test_the_numbers_of_the_head_lead_to_what_they_count(visit: Open) -> None:
    page = visit(60)
    tile = page.locator(".verdicts .v-refuted a")
    many = int(tile.locator(".count").inner_text())
    tile.click()
    shows(page, many)
    cell = page.locator(".matrix tbody td a").first
    many = int(re.match(r"\d+", cell.inner_text()).group())
    cell.click()
    shows(page, many)


def test_going_back_takes_the_filter_back(visit: Open) -> None:
    page = visit(60)
    page.click(".verdicts .v-refuted a")
    page.locator("main.narrowed").wait_for()
    page.go_back()
    page.get_by_text("60 statements", exact=True).wait_for()
    assert len(statements(page)) == 60


def test_a_link_to_what_a_filter_hides_takes_the_filter_away(visit: Open) -> None:
    page = visit(60, "verdict=refuted")
    hidden = page.locator("section.question[hidden]").first.get_attribute("id")
    page.click(f".chips a[href='#{hidden}']")
    page.wait_for_timeout(100)
    assert page.locator(f"[id='{hidden}']").is_visible()
    assert page.input_value("#verdict") == ""


@pytest.mark.parametrize("fragment", ["100%", "%E0%A4%A", "gfg-999.1"])
def test_an_address_that_leads_nowhere_is_said(visit: Open, fragment: str) -> None:
    page = visit(20, fragment)
    assert page.inner_text("#shown") == f"Nothing on this page is called {fragment}."
    assert page.evaluate("document.documentElement.dataset.theme") == "auto"


def test_a_choice_that_does_not_exist_is_no_filter(visit: Open) -> None:
    page = visit(20, "verdict=nonsense")
    assert page.evaluate("document.getElementById('verdict').selectedIndex") == 0
    assert len(statements(page)) == 20


def shows(page: Any, many: int) -> None:
    page.get_by_text(f"{many} of 60 statements", exact=True).wait_for()
    assert len(statements(page)) == many


def first_with(verdict: str, count: int = 60) -> str:
    return next(s["id"] for s in factory.synthetic(count)["statements"] if s["verdict"] == verdict)


@pytest.mark.parametrize("verdict", ["holds", "refuted", "undecided", "not-executable"])
def test_a_permalink_opens_its_statement_and_shows_it(visit: Open, verdict: str) -> None:
    target = first_with(verdict, BIG)
    page = visit(BIG, target)
    body = page.locator(f"[id='{target}']")
    assert body.is_visible()
    page.wait_for_timeout(100)
    box = page.locator("article", has=body).bounding_box()
    tools = page.locator("#tools").bounding_box()
    assert tools["y"] + tools["height"] <= box["y"] < 400


def test_a_permalink_opens_even_what_a_filter_hides(visit: Open) -> None:
    target = first_with("refuted")
    page = visit(60, "verdict=holds")
    page.evaluate("id => location.hash = id", target)
    page.wait_for_timeout(100)
    assert page.locator(f"[id='{target}']").is_visible()
    assert page.input_value("#verdict") == ""


def test_without_scripts_everything_can_be_read(visit: Open) -> None:
    target = first_with("refuted")
    page = visit(60, java_script_enabled=False)
    assert page.locator("#tools").is_hidden()
    assert page.locator("article.statement").count() == 60
    assert page.locator(".copy").first.is_hidden()
    page.locator("article", has=page.locator(f"[id='{target}']")).locator("summary").first.click()
    assert page.locator(f"[id='{target}'] .example").first.is_visible()


def dark(colour: str) -> bool:
    return max(map(int, re.findall(r"\d+", colour)[:3])) < 60


def test_the_switch_of_colours_overrules_the_system(visit: Open) -> None:
    background = "getComputedStyle(document.documentElement).backgroundColor"
    page = visit(20, color_scheme="dark")
    assert dark(page.evaluate(background))
    page.check("[name=theme][value=light]")
    assert not dark(page.evaluate(background))
    page.check("[name=theme][value=dark]")
    assert dark(page.evaluate(background))


def test_the_keyboard_reaches_and_works_everything(visit: Open) -> None:
    page = visit(20)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the statements"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "statements"
    reached = set()
    for _ in range(400):
        page.keyboard.press("Tab")
        kind = page.evaluate("document.activeElement.tagName + '.' + document.activeElement.className")
        if kind == "BODY.":
            break
        reached.add(kind)
        if kind == "SUMMARY." and not page.evaluate("document.activeElement.parentElement.open"):
            page.keyboard.press("Enter")
            assert page.evaluate("document.activeElement.parentElement.open")
    assert {"A.permalink", "SUMMARY.", "BUTTON.copy", "DIV.scroll", "A."} <= reached


def test_the_keyboard_skips_to_the_search_and_stays_with_what_a_filter_shows(visit: Open) -> None:
    page = visit(20)
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "q"
    page.focus(".verdicts .v-refuted a")
    page.keyboard.press("Enter")
    page.locator("main.narrowed").wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("Boolean(document.activeElement.closest('#statements'))")


def test_a_statement_has_a_name_and_a_heading(visit: Open) -> None:
    page = visit(20)
    said = factory.synthetic(20)["statements"][3]["statement"]
    assert page.get_by_role("article", name=said).count() >= 1
    assert page.get_by_role("heading", name=said, level=4).count() >= 1


def test_paper_shows_only_what_a_filter_leaves_and_says_which(visit: Open) -> None:
    page = visit(20, "verdict=refuted&q=the")
    page.evaluate("""() => {
        window.open_elsewhere = null;
        addEventListener('beforeprint', () => window.open_elsewhere = document.querySelectorAll('.topics details[open]').length);
    }""")
    page.emulate_media(media="print")
    page.pdf()
    assert page.evaluate("window.open_elsewhere") == 0
    assert page.locator(".ways").is_hidden()
    assert page.locator(".topics").is_hidden()
    assert re.fullmatch(r"\d+ of 20 statements: verdict refuted, search the", page.inner_text("#printed"))


def test_paper_holds_everything(visit: Open) -> None:
    page = visit(20)
    page.evaluate("""() => {
        window.closed = null;
        addEventListener('beforeprint', () => window.closed = document.querySelectorAll('details:not([open])').length);
    }""")
    page.emulate_media(media="print")
    pdf = page.pdf()
    assert pdf.startswith(b"%PDF")
    assert page.evaluate("window.closed") == 0
    assert page.evaluate("document.querySelectorAll('article details[open]').length") == 0
    assert page.locator("#tools").is_hidden()


def test_paper_holds_everything_even_without_scripts(visit: Open) -> None:
    page = visit(20, java_script_enabled=False)
    page.emulate_media(media="print")
    seen = page.locator(".again").evaluate_all(
        "all => all.every(e => e.checkVisibility({contentVisibilityAuto: true}))"
    )
    assert page.locator(".again").count() > 0
    assert seen


def test_a_command_can_be_copied(visit: Open) -> None:
    page = visit(60, first_with("holds"), permissions=["clipboard-read", "clipboard-write"])
    button = page.locator(".copy:visible").first
    command = button.evaluate("b => b.previousElementSibling.textContent")
    button.click()
    page.get_by_role("button", name=re.compile("Copied|Selected")).wait_for()
    assert command.startswith("assay run ")
    if button.inner_text() == "Copied":
        assert page.evaluate("navigator.clipboard.readText()") == command
    else:
        assert page.evaluate("getSelection().toString()") == command


@pytest.mark.parametrize("width", [1280, 768, 320])
def test_nothing_is_wider_than_the_window(visit: Open, width: int) -> None:
    page = visit(60, viewport={"width": width, "height": 800})
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_long_words_and_hostile_text_stay_within_the_window(visit: Open, tmp_path: Path) -> None:
    long = "W" * 600 + " <script>document.title = 'owned'</script>"
    claim = factory.claim(
        sentence=long, docstring=f"Reading: {long}", problem=long, facts=[factory.fact(long, why=long)]
    )
    entry = factory.decided(factory.statement(statement=long), [claim], "holds")
    path = tmp_path / "long.html"
    path.write_text(render(json.loads(json.dumps(factory.results([entry], [claim])))), encoding="utf-8")
    page = visit(path, "gfg-1.1", viewport={"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.title().startswith("Assay")


def test_the_policy_stops_what_gets_in(browser: Any, pages: Any) -> None:
    """Even a planted element could neither run nor load anything; the browser's complaints are what is tested here."""
    context = browser.new_context()
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(pages(20).as_uri())
    page.evaluate("""() => {
        const image = '<img src="https://example.org/x.png" onerror="window.owned = 1">';
        document.body.insertAdjacentHTML('beforeend', image);
        const script = document.createElement('script');
        script.textContent = 'window.owned = 2';
        document.body.append(script);
    }""")
    page.wait_for_timeout(200)
    assert page.evaluate("window.owned") is None
    assert sum("Content Security Policy" in line for line in said) >= 2
    context.close()
