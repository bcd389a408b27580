"""The dashboard in a real browser: login, forms with and without scripts, narrow windows, and other websites."""

from __future__ import annotations

import http.server
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException, WebDriverException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

from core.web import ChildState
from tests.web.conftest import DEADLINE_S, Site
from tests.web.fake_reader import FakeReader
from tests.web.samples import run
from tests.web.scenes import furnish

pytestmark = pytest.mark.browser
ARGUMENTS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost, EXCLUDE *.localhost",
)  # fmt: skip
PAGES = (
    "/", "/install", "/install/mail", "/services/feeds", "/services/mail-work", "/services/mail/settings",
    "/services/feeds/log", "/services/feeds/uninstall", "/services/feeds/keeping", "/services/feeds/records/entry",
    "/services/feeds/records/entry/plain-key", "/services/feeds/records/entry/awkward", "/owner/diary", "/owner/tokens",
    "/services/feeds/records/entry?filter=title+contains+%22lighthouse%22&as_of=2024-01-01",
    "/services/feeds/records/entry?filter=nothing", "/services/feeds/records/entry/plain-key?as_of=2001-01-01",
    "/services/feeds/changes?from=2001-01-01", "/services/feeds/changes",
    "/owner/search", "/owner/search?q=lighthouse", "/owner/timeline", "/owner/timeline?day=2026-03-10",
    "/owner/letters", "/owner/about", "/services/notes", "/owner/access",
    "/install/kept/feeds-gone", "/install/kept/mail-gone/erase", "/services/nothing",
)  # fmt: skip


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """A browser with an empty profile that finds nothing but this machine."""
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("chromium and chromedriver are not installed")
    options = Options()
    options.binary_location = binary
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for argument in (*ARGUMENTS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(argument)
    browser = webdriver.Chrome(options=options, service=Service(driver))
    browser.set_page_load_timeout(30)
    yield browser
    browser.quit()


@pytest.fixture
def browser(chromium: webdriver.Chrome) -> Iterator[webdriver.Chrome]:
    """The browser, as if it had never been here."""
    yield chromium
    chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    chromium.execute_cdp_cmd("Network.clearBrowserCookies", {})
    chromium.get("about:blank")
    chromium.get_log("browser")


def wait(browser: webdriver.Chrome, what: Any) -> Any:
    """What comes to be true, within the deadline."""
    gone = (NoSuchElementException, StaleElementReferenceException)

    def met(browser: webdriver.Chrome) -> Any:
        try:
            return what(browser)
        except WebDriverException as error:
            # How the driver says at times that the page was just replaced.
            if "does not belong to the document" in str(error):
                return False
            raise

    return WebDriverWait(browser, DEADLINE_S, poll_frequency=0.05, ignored_exceptions=gone).until(met)


def log_in(browser: webdriver.Chrome, site: Site) -> None:
    """By the address that Locker prints."""
    browser.get(site.on_loop(site.web.login_url))
    wait(browser, lambda b: b.title == "Services · Locker")


def shown(browser: webdriver.Chrome) -> str:
    """The text of the page as it stands."""
    return browser.find_element(By.TAG_NAME, "body").text


def press(browser: webdriver.Chrome, label: str) -> None:
    """Press the button or follow the link of that name."""
    wanted = f"//*[self::button or self::a][not(@aria-hidden)][normalize-space()='{label}']"
    act(browser, By.XPATH, wanted, lambda element: element.click())


def fill(browser: webdriver.Chrome, name: str, *keys: str) -> None:
    """Type into the input of that name."""
    act(browser, By.NAME, name, lambda element: element.send_keys(*keys))


def act(browser: webdriver.Chrome, by: str, wanted: str, deed: Callable[[WebElement], object]) -> None:
    """Do something with an element once it is there; a page that is just being replaced is tried again."""

    def done(browser: webdriver.Chrome) -> bool:
        deed(browser.find_element(by, wanted))
        return True

    wait(browser, done)


class OtherSite:
    """Another program on this machine that serves pages: another site, as far as browsers care."""

    def __init__(self) -> None:
        self.page = ""
        self.cookies: list[str | None] = []
        other = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                other.cookies.append(self.headers.get("Cookie"))
                body = other.page.encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                return

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(DEADLINE_S)


@pytest.fixture
def other() -> Iterator[OtherSite]:
    """Another site."""
    found = OtherSite()
    yield found
    found.close()


def test_login_shows_the_dashboard(browser: webdriver.Chrome, site: Site) -> None:
    """The printed address, opened, leads to the services; the cookie is out of reach of scripts."""
    log_in(browser, site)
    (cookie,) = browser.get_cookies()

    assert f"{site.origin}/" == browser.current_url
    assert ("locker_session", True, "Strict", "locker.localhost") == (
        cookie["name"], cookie["httpOnly"], cookie["sameSite"], cookie["domain"]
    )  # fmt: skip
    assert "" == browser.execute_script("return document.cookie")
    assert [] == browser.get_log("browser")


def test_login_by_a_link_on_another_site(browser: webdriver.Chrome, site: Site, other: OtherSite) -> None:
    """A terminal in a web page: the Strict cookie is there all the same, because a page of ours goes on."""
    other.page = f'<a href="{site.on_loop(site.web.login_url)}">in</a>'
    browser.get(f"http://127.0.0.1:{other.port}/")
    press(browser, "in")
    wait(browser, lambda b: b.title == "Services · Locker")

    assert f"{site.origin}/" == browser.current_url


def test_a_link_on_another_site_leads_a_logged_in_owner_home(
    browser: webdriver.Chrome, site: Site, other: OtherSite
) -> None:
    """The first request comes without the cookie; the page that is asked for shows all the same."""
    site.world.install()
    log_in(browser, site)
    other.page = f'<a href="{site.origin}/services/feeds">go</a>'
    browser.get(f"http://127.0.0.1:{other.port}/")
    press(browser, "go")
    wait(browser, lambda b: b.title == "Feeds · Locker")


def test_the_session_stays_on_its_host(browser: webdriver.Chrome, site: Site, other: OtherSite) -> None:
    """Another port of 127.0.0.1 does not see it, and the core does not take it there."""
    log_in(browser, site)
    browser.get(f"http://127.0.0.1:{other.port}/")
    browser.get(f"http://127.0.0.1:{site.port}/")

    assert [None] == other.cookies[:1]
    assert "The dashboard has its own address" in shown(browser)


@pytest.mark.parametrize("host", ["127.0.0.1", "locker.localhost", "evil.localhost"])
def test_another_sites_form_changes_nothing(browser: webdriver.Chrome, site: Site, other: OtherSite, host: str) -> None:
    """Not even from another port of the dashboard's own host, where the cookie does come along."""
    site.world.install()
    log_in(browser, site)
    other.page = f'<form method="post" action="{site.origin}/services/feeds/disable"><button>win</button></form>'
    browser.get(f"http://{host}:{other.port}/")
    press(browser, "win")
    wait(browser, lambda b: b.current_url.startswith(site.origin))

    assert site.world.services.get("feeds").enabled
    assert "Switched off" not in shown(browser)


def test_another_sites_script_reads_nothing(browser: webdriver.Chrome, site: Site, other: OtherSite) -> None:
    """Neither by fetch, nor in a frame, nor as an image or a script."""
    log_in(browser, site)
    other.page = f'<iframe src="{site.origin}/"></iframe><script src="{site.origin}/map"></script>'
    browser.get(f"http://locker.localhost:{other.port}/")
    read = browser.execute_async_script(
        "const done = arguments[1];"
        "fetch(arguments[0], {credentials: 'include'}).then(r => r.text()).then(done, e => done('refused'));",
        f"{site.origin}/map",
    )
    browser.switch_to.frame(0)

    assert "refused" == read
    assert "Services" not in shown(browser)


def test_from_nothing_to_a_sync(browser: webdriver.Chrome, site: Site) -> None:
    """Add, fill in with a second row, install, sync, and see it run: no console message on the way."""
    log_in(browser, site)
    press(browser, "Add your first service")
    press(browser, "Add Feeds")
    fill(browser, "/feeds/0", "https://example.org/a")
    press(browser, "Add another")
    fill(browser, "/feeds/1", "https://example.org/b", Keys.ENTER)
    wait(browser, lambda b: "Installed." in shown(b))
    site.world.children.states["feeds"] = ChildState("running")
    press(browser, "Sync now")
    wait(browser, lambda b: "ok, 20 new" in shown(b))

    assert ["https://example.org/a", "https://example.org/b"] == site.world.services.settings["feeds"]["feeds"]
    assert [("POST", "feeds", "/sync")] == site.world.children.asked
    wait(browser, lambda b: b.current_url == f"{site.origin}/services/feeds")
    assert [] == browser.get_log("browser")


@pytest.mark.parametrize("path", ["/", "/services/feeds"])
def test_an_open_page_follows_a_sync_that_others_began(browser: webdriver.Chrome, site: Site, path: str) -> None:
    """Its figures are those of the new run, without a reload by hand."""
    site.world.install()
    site.world.readers["feeds"] = reader = FakeReader(all_runs=[run("entry", 10.0, 11.0)])
    log_in(browser, site)
    browser.get(f"{site.origin}{path}")
    before = shown(browser)
    reader.put("entry", "1", {"title": "One"})
    site.world.stream.told.append("sync")
    wait(browser, lambda b: "1 entry" in shown(b).replace("\n", " "))

    assert "1 entry" not in before.replace("\n", " ")
    assert [] == browser.get_log("browser")


def test_a_log_is_followed(browser: webdriver.Chrome, site: Site) -> None:
    """New lines stand there without loading the page again, as text, until it is stopped."""
    site.world.install()
    path = site.world.parts.log_file("feeds")
    log_in(browser, site)
    browser.get(f"{site.origin}/services/feeds/log")
    press(browser, "Follow")
    wait(browser, lambda b: "appear as they are written" in shown(b))
    path.write_text("first <b>line</b>\n")
    wait(browser, lambda b: "first <b>line</b>" in shown(b) and "Nothing written" not in shown(b))
    press(browser, "Stop following")
    wait(browser, lambda b: "Not followed any more" in shown(b))

    assert f"{site.origin}/services/feeds/log" == browser.current_url
    assert [] == browser.get_log("browser")


def test_a_log_is_followed_without_scripts(browser: webdriver.Chrome, site: Site) -> None:
    """The page looks again by itself."""
    site.world.install()
    site.world.children.logs["feeds"] = ["first line"]
    log_in(browser, site)
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.get(f"{site.origin}/services/feeds/log")
    press(browser, "Follow")
    wait(browser, lambda b: "Looks again" in shown(b))
    site.world.children.logs["feeds"].append("second line")
    wait(browser, lambda b: "second line" in shown(b))


def test_everything_but_progress_works_without_scripts(browser: webdriver.Chrome, site: Site) -> None:
    """Install, correct a fault, change settings, take a row away, uninstall: with forms alone."""
    log_in(browser, site)
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.get(f"{site.origin}/install/mail")
    fill(browser, "/accounts/0/host", "imap.example.org")
    press(browser, "Install")
    wait(browser, lambda b: "is missing" in shown(b))
    fill(browser, "/accounts/0/password", "secret")
    press(browser, "Install")
    wait(browser, lambda b: "Installed." in shown(b))
    press(browser, "Settings")
    press(browser, "Remove this account")
    press(browser, "Save")
    wait(browser, lambda b: "The settings are saved; a sync has begun." in shown(b))
    press(browser, "Uninstall Mail…")
    act(browser, By.CSS_SELECTOR, "input[value=erase]", lambda choice: choice.click())
    fill(browser, "confirm", "mail")
    press(browser, "Uninstall")
    wait(browser, lambda b: "its data erased" in shown(b))

    assert ["mail"] == site.world.services.erased


@pytest.mark.parametrize("width", [360, 1280])
def test_no_page_is_wider_than_its_window(browser: webdriver.Chrome, site: Site, width: int) -> None:
    """Long words, long addresses and tables included; and no page says anything on the console."""
    furnish(site.world)
    log_in(browser, site)
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    )
    widths = {}
    for path in PAGES:
        browser.get(site.origin + path)
        widths[path] = browser.execute_script("return document.documentElement.scrollWidth")
    said = [entry for entry in browser.get_log("browser") if "/services/nothing" not in entry["message"]]

    assert {width} == set(widths.values()), widths
    assert [] == said


def test_the_keyboard_leads_everywhere(browser: webdriver.Chrome, site: Site) -> None:
    """The first stop skips to the content, and where one stands is seen."""
    furnish(site.world)
    log_in(browser, site)
    browser.get(f"{site.origin}/services/feeds")
    body = browser.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.TAB)
    first = browser.switch_to.active_element
    text, left = first.text, first.rect["x"]
    first.send_keys(Keys.ENTER)
    browser.switch_to.active_element.send_keys(Keys.TAB)
    second = browser.switch_to.active_element

    assert ("Skip to the content", True) == (text, left >= 0)
    assert "Services" == second.text
    assert "solid" == second.value_of_css_property("outline-style")


def test_records_are_asked_for_by_keys_alone(browser: webdriver.Chrome, site: Site) -> None:
    """Without scripts too: a filter is typed and sent; one that cannot be read is where one goes on typing."""
    furnish(site.world)
    log_in(browser, site)
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.get(f"{site.origin}/services/feeds/records/entry")
    fill(browser, "filter", 'title contains "Entry 7:"', Keys.ENTER)
    wait(browser, lambda b: "1 entry" in shown(b))
    fill(browser, "filter", " =", Keys.ENTER)
    wait(browser, lambda b: "The filter cannot be read at position 27" in shown(b))
    browser.switch_to.active_element.send_keys(Keys.END, Keys.BACKSPACE, Keys.BACKSPACE, Keys.ENTER)
    wait(browser, lambda b: "1 entry" in shown(b))

    assert "Entry 7: how the lighthouse keepers kept time" in shown(browser)


def test_a_day_of_the_past_and_back(browser: webdriver.Chrome, site: Site) -> None:
    """From the list as it stood to a record of that day, to what changed in it, and back to today."""
    furnish(site.world)
    log_in(browser, site)
    browser.get(f"{site.origin}/services/feeds/records/entry?as_of=2024-01-01")
    wait(browser, lambda b: "As it stood on 1 Jan 2024." in shown(b))
    press(browser, "Second wording")
    wait(browser, lambda b: b.current_url.endswith("/plain-key?as_of=2024-01-01"))
    press(browser, "Back to today")
    wait(browser, lambda b: b.current_url.endswith("/plain-key?") and "As it stood" in shown(b))
    wait(browser, lambda b: "First wording" in shown(b))
    press(browser, "as it was then")

    wait(browser, lambda b: "This is the version of" in shown(b))
    assert [] == browser.get_log("browser")


def test_what_is_kept_is_chosen_and_confirmed(browser: webdriver.Chrome, site: Site) -> None:
    """From the service's page and back to it; nothing is set before what would go was shown."""
    furnish(site.world)
    site.world.children.answers["/retention"] = 200, b'{"policies": {}}'
    log_in(browser, site)
    browser.get(f"{browser.current_url.rstrip('/')}/services/feeds")
    press(browser, "Change")
    wait(browser, lambda b: b.find_element(By.NAME, "kind/entry"))
    Select(browser.find_element(By.NAME, "kind/entry")).select_by_visible_text("the current version only")
    press(browser, "Save")
    wait(browser, lambda b: "would go within a day" in shown(b))
    assert not [one for one in site.world.children.asked if one[-1] == "/retention"]
    press(browser, "Keep no more than that")
    wait(browser, lambda b: "Saved. What need not be kept any more goes within a day" in shown(b))

    assert ("PUT", "feeds", "/retention") in site.world.children.asked


def test_dark_is_dark(browser: webdriver.Chrome, site: Site) -> None:
    """As the owner's system asks."""
    log_in(browser, site)
    grounds = {}
    for scheme in ("light", "dark"):
        browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        )
        colour = browser.find_element(By.TAG_NAME, "body").value_of_css_property("background-color")
        grounds[scheme] = sum(int(part) for part in re.findall(r"\d+", colour)[:3])
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})

    assert grounds["light"] > 600 > 150 > grounds["dark"]


def test_logging_out_ends_it(browser: webdriver.Chrome, site: Site) -> None:
    """The page behind the back button asks to log in."""
    log_in(browser, site)
    press(browser, "Log out")
    wait(browser, lambda b: "Please log in" in shown(b))
    browser.get(f"{site.origin}/")

    assert "Please log in" in shown(browser)
