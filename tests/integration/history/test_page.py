"""The page in a real browser: search, filter, brush, open, follow, download, keys, and attacks."""

import json
import os
import re
import shutil
import time
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect, sync_playwright

from opstrail_history.access import token_hash
from tests.support.history import A, a_record, event_of, served

PICTURES = Path(__file__).parents[3] / "docs" / "pictures"
WIDE, NARROW = {"width": 1280, "height": 860}, {"width": 390, "height": 844}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def browser():
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.fail("the page's tests need Chromium: tools/debian-packages.sh installs it")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield started
        started.close()


class Visit:
    """A page, what went wrong in it, and where it went."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.faults: list[str] = []
        self.hosts: set[str] = set()
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", self._console)
        page.on("dialog", self._dialog)
        page.on(
            "request",
            lambda request: self.hosts.add(re.sub(r"^(\w+://[^/]+).*", r"\1", request.url)),
        )

    def _console(self, message):
        # A refused event has its own words on the page.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.faults.append(message.text)

    def _dialog(self, dialog):
        self.faults.append(f"a dialog opened: {dialog.message}")
        dialog.dismiss()


@pytest.fixture
def visit(browser, request):
    options = getattr(request, "param", {})
    context = browser.new_context(viewport=WIDE, accept_downloads=True, **options)
    context.set_default_timeout(30_000)
    visiting = Visit(context.new_page())
    yield visiting
    context.close()
    assert [] == visiting.faults


@pytest.fixture
def page(visit, sample_url):
    visit.page.goto(f"{sample_url}/")
    return visit.page


def rows(page):
    return page.locator("#rows tr")


def test_it_opens_on_the_last_day_that_holds_events_and_says_which(page, visit, sample_url):
    expect(page.locator(".span")).to_contain_text("the last day that holds events")
    expect(page.locator(".chip")).to_have_count(2)
    expect(page.locator(".chip").first).to_contain_text(re.compile(r"writes only hides [\d,]+"))
    expect(page.locator(".chip").nth(1)).to_contain_text(
        re.compile(r"not AWS services hides [\d,]+")
    )
    assert rows(page).count() > 0
    assert {sample_url} == visit.hosts


def test_a_chip_is_removed_and_what_it_hid_appears(page, sample_url):
    page.goto(f"{sample_url}/?readOnly=no&awsService=no&awsService=unknown")
    [hidden] = map(int, re.findall(r"hides (\d+)", page.locator(".chip").first.inner_text()))
    before = int(page.locator(".span strong").inner_text().split()[0])

    page.get_by_label("Remove the filter writes only").click()

    expect(page.locator(".span strong")).to_have_text(f"{before + hidden} events")
    expect(page.locator(".chip")).to_have_count(1)


def test_words_are_searched_and_a_link_reproduces_the_view(page, visit, sample_url):
    page.goto(f"{sample_url}/?all=1")
    page.get_by_label("Search words").fill("CreateStack")
    page.get_by_role("button", name="Search").click()

    expect(rows(page)).to_have_count(2)
    again = visit.page.context.new_page()
    again.goto(page.url)
    expect(rows(again)).to_have_count(2)
    expect(again.locator(".chip")).to_contain_text("Text: CreateStack")


def test_a_day_until_now_is_a_time(page, sample_url):
    page.goto(f"{sample_url}/?all=1")
    page.get_by_label("Since").fill("2023-01")
    page.get_by_label("Until").fill("now")
    page.get_by_role("button", name="Search").click()

    expect(page.locator(".span strong")).to_contain_text("events")
    while page.locator("#next").count():
        page.locator("#next").click()
        page.wait_for_load_state()
        expect(rows(page).first).to_be_visible()


def test_a_filter_is_added_and_a_facet_narrows(page, sample_url):
    page.goto(f"{sample_url}/?all=1")
    page.get_by_label("Filter by").select_option("stack")
    page.get_by_label("Value").fill("shop-prod")
    page.get_by_role("button", name="Add filter").click()

    expect(page.locator(".chip")).to_contain_text("Stack: shop-prod")
    page.locator(".facets").get_by_role("link", name="CreateInstance", exact=True).click()
    expect(page.locator(".chip")).to_have_count(2)
    for row in rows(page).all():
        expect(row.locator(".did")).to_contain_text("CreateInstance")
        expect(row.locator(".stack")).to_contain_text("shop-prod")
    page.get_by_label("Without shop-production").click()
    expect(page.locator(".nothing")).to_contain_text("No event is like that")


def test_a_time_is_brushed(page, sample_url):
    page.goto(f"{sample_url}/?all=1")
    box = page.locator("#histogram svg").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.02, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 30, steps=5)
    expect(page.locator("#brushed")).to_contain_text(" to ")
    page.mouse.up()

    page.wait_for_url(re.compile("since=.*until="))
    assert 0 < int(page.locator(".span strong").inner_text().split()[0]) < 224


def test_a_time_is_chosen_with_the_keyboard(page, sample_url):
    page.goto(f"{sample_url}/?all=1")
    page.keyboard.press("h")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    said = page.locator("#brushed").inner_text()
    page.keyboard.press("Enter")

    page.wait_for_url(re.compile("since="))
    expect(page.locator(".span strong")).to_contain_text(said.split(" events")[0])


def test_an_event_is_opened_beside_the_list_with_what_belongs_to_it(page, sample_url):
    page.goto(f"{sample_url}/?stack=shop-prod&name=CreateDeployment")
    rows(page).first.locator("a.open").click()

    details = page.locator("#details")
    expect(details).to_contain_text("Who stands behind")
    expect(details.locator("#raw")).to_contain_text('"eventName": "CreateDeployment"')
    expect(rows(page).first).to_have_class(re.compile("chosen"))
    assert "event=" in page.url
    link = details.locator(".related a.open").first
    leads_to = sample_url + link.get_attribute("href")
    link.click()
    expect(page).to_have_url(leads_to)
    page.go_back()
    expect(details.locator("h2")).to_have_text("CreateDeployment")
    page.reload()
    expect(details.locator("h2")).to_have_text("CreateDeployment")
    page.keyboard.press("Escape")
    expect(details).to_be_hidden()


def test_texts_are_copied(page, sample_url):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{sample_url}/?name=CreateStack")
    rows(page).first.locator("a.open").click()
    page.get_by_role("button", name="Copy record").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()

    copied = page.evaluate("navigator.clipboard.readText()")
    assert "CreateStack" == json.loads(copied)["eventName"]


def test_keys_move_open_and_close(page, sample_url):
    page.goto(f"{sample_url}/?all=1")
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(rows(page).nth(1).locator("a.open")).to_be_focused()
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    expect(page.locator("#details")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    expect(page.get_by_label("Search words")).to_be_focused()
    page.keyboard.type("?")
    expect(page.get_by_label("Search words")).to_have_value("?")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("n")
    page.wait_for_url(re.compile("cursor="))


def test_pages_follow_each_other(page, sample_url):
    page.goto(f"{sample_url}/?all=1")
    seen = set()
    while True:
        seen |= {row.get_attribute("data-id") for row in rows(page).all()}
        if not page.locator("#next").count():
            break
        page.locator("#next").click()
        page.wait_for_load_state()

    assert 224 == len(seen)


@pytest.mark.parametrize(
    ("name", "ending"), [("CSV", "csv"), ("NDJSON", "ndjson"), ("CloudTrail JSON", "json")]
)
def test_what_is_shown_is_downloaded(page, sample_url, name, ending, tmp_path):
    page.goto(f"{sample_url}/?name=CreateStack")
    with page.expect_download() as started:
        page.get_by_role("link", name=name, exact=True).click()

    assert f"opstrail-events.{ending}" == started.value.suggested_filename
    started.value.save_as(tmp_path / "file")
    text = (tmp_path / "file").read_text("utf-8-sig")
    assert "CreateStack" in text
    assert '"events":2' in text or "complete: 2 events" in text


def test_the_live_view_shows_events_as_they_are_stored(visit, store):
    store.put([event_of(a_record("old", "2024-01-02T00:00:00Z"))])
    page = visit.page
    with served(store.settings()) as url:
        page.goto(f"{url}/?name=PutBucketPolicy")
        page.get_by_role("button", name="Live").click()
        expect(page.locator("#said")).to_contain_text("Live")
        store.put(
            [
                event_of(a_record("new", "2024-01-03T00:00:00Z", sourceIPAddress="a\u202eb")),
                event_of(a_record("other", "2024-01-03T00:00:00Z", eventName="Other")),
            ],
            stored_at=time.time_ns() // 1_000_000,
        )
        expect(rows(page)).to_have_count(2)
        expect(rows(page).first.locator(".from")).to_have_text("a⟨U+202E⟩b")
        rows(page).first.locator("a.open").click()
        expect(page.locator("#details h2")).to_have_text("PutBucketPolicy")
        page.keyboard.press("l")
        expect(page.get_by_role("button", name="Live")).to_have_attribute("aria-pressed", "false")
        page.close()


NASTY = {
    "userAgent": "<script>window.hit=1;alert(1)</script>${jndi:ldap://x/a}\u202egpj.exe",
    "eventName": "<img src=x onerror=alert(2)>",
    "errorCode": "</pre><script>alert(3)</script>",
    "errorMessage": "<svg onload=alert(4)>",
    "requestParameters": {"bucketName": "javascript:alert(5)", "k": "'\"><script>alert(6)"},
    "sourceIPAddress": "<iframe srcdoc='<script>parent.alert(7)</script>'>",
    "awsRegion": "{{7*7}}<b>",
}  # fmt: skip


def test_nothing_in_an_event_is_run(visit, store):
    user = a_record("x", "x")["userIdentity"] | {"userName": "<a href=javascript:alert(8)>ada"}
    nasty = a_record("nasty", "2024-01-02T00:00:00Z", userIdentity=user, **NASTY)
    store.put([event_of(nasty)])
    page = visit.page
    with served(store.settings()) as url:
        page.goto(f"{url}/?all=1&q=%3Cscript%3Ealert(9)%3C/script%3E")
        page.goto(f"{url}/?all=1")
        rows(page).first.locator("a.open").click()
        expect(page.locator("#details #raw")).to_contain_text("alert(1)")
        page.get_by_role("button", name="Live").click()
        store.put([event_of({**nasty, "eventID": "again"})], stored_at=time.time_ns() // 1_000_000)
        expect(rows(page)).to_have_count(2)
        page.goto(f"{url}/?all=1&event={A}/nasty")
        expect(page.locator("#details .agent")).to_contain_text("⟨U+202E⟩")
        assert page.evaluate("window.hit") is None
        assert 0 == page.locator("#rows img, #rows iframe, #details img, #details script").count()
        page.close()


@pytest.mark.parametrize(
    "visit", [{"color_scheme": "light"}, {"color_scheme": "dark"}], indirect=True
)
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["1280", "390"])
def test_it_is_accessible_at_both_widths_in_light_and_dark(visit, sample_url, size):
    page = visit.page
    page.set_viewport_size(size)
    for path in ("/", "/?stack=shop-prod&name=CreateDeployment", "/sign-in", "/?q=*"):
        page.goto(sample_url + path)
        if "stack" in path:
            rows(page).first.locator("a.open").click()
            expect(page.locator("#details")).to_contain_text("Who stands behind")
        found = Axe().run(page).response["violations"]
        serious = [
            (one["id"], [node["html"][:120] for node in one["nodes"][:3]])
            for one in found
            if one["impact"] in {"serious", "critical"}
        ]
        assert [] == serious, path
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= size["width"], f"{path} needs {wide} px"


def test_the_theme_is_kept(page):
    page.get_by_role("button", name="Light / dark").click()
    theme = page.evaluate("document.documentElement.dataset.theme")
    page.reload()

    assert "dark" == theme == page.evaluate("document.documentElement.dataset.theme")


@pytest.mark.parametrize("visit", [{"java_script_enabled": False}], indirect=True)
def test_it_works_without_script(visit, sample_url):
    page = visit.page
    page.goto(f"{sample_url}/?name=CreateStack")
    rows(page).first.locator("a.open").click()

    expect(page.locator("#details")).to_contain_text("Who stands behind")
    page.locator("#details a.close").click()
    expect(page.locator("#details")).to_be_hidden()


def test_one_signs_in_with_a_token(visit, sample_store, tmp_path):
    token = "opstrailtest"
    grant = {"name": "ada", "sha256": token_hash(token), "accounts": [A], "rights": ["read"]}
    (tmp_path / "access.yaml").write_text(json.dumps({"tokens": [grant]}))
    page = visit.page
    with served(sample_store.settings(access_file=tmp_path / "access.yaml")) as url:
        page.goto(url)
        page.get_by_label("Your token").fill("wrong")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_contain_text("not known")
        page.get_by_label("Your token").fill(token)
        page.get_by_role("button", name="Sign in").click()
        expect(page.locator(".span")).to_contain_text("the last day that holds events")
        page.get_by_role("button", name="Sign out ada").click()
        page.goto(f"{url}/?name=CreateStack&q=stack%3Ashop-prod")
        page.get_by_label("Your token").fill("wrong")
        page.get_by_role("button", name="Sign in").click()
        page.get_by_label("Your token").fill(token)
        page.get_by_role("button", name="Sign in").click()
        expect(page).to_have_url(f"{url}/?name=CreateStack&q=stack%3Ashop-prod")
        expect(page.locator(".chip")).to_have_count(2)
        page.get_by_role("button", name="Sign out ada").click()
        expect(page.get_by_label("Your token")).to_be_visible()
        page.close()


@pytest.mark.parametrize("visit", [{"color_scheme": "light"}], indirect=True)
def test_pictures_of_the_list_and_of_an_event(visit, sample_url, tmp_path):
    page = visit.page
    chips = "readOnly=no&awsService=no&awsService=unknown"
    page.goto(f"{sample_url}/?since=2021-01&until=2024-06&{chips}")
    _picture(page, tmp_path, "history-list.png")
    page.goto(f"{sample_url}/?stack=shop-prod&readOnly=no")
    page.locator("#rows a.open", has_text="CreateDeployment").first.click()
    expect(page.locator("#details")).to_contain_text("Who stands behind")
    _picture(page, tmp_path, "history-event.png")


@pytest.mark.parametrize("visit", [{"color_scheme": "dark"}], indirect=True)
def test_a_picture_of_the_narrow_dark_page(visit, sample_url, tmp_path):
    visit.page.set_viewport_size(NARROW)
    visit.page.goto(f"{sample_url}/?stack=shop-prod&readOnly=no")
    _picture(visit.page, tmp_path, "history-narrow-dark.png")


def _picture(page, folder, name):
    """Take it; into docs/ only where OPSTRAIL_PICTURES asks for it: a test changes no file."""
    target = PICTURES if os.environ.get("OPSTRAIL_PICTURES") else folder
    target.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=target / name)
    assert (target / name).stat().st_size > 10_000
