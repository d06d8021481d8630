# SPDX-License-Identifier: Apache-2.0
"""Reports in Chromium, with scripts off and on, wide and narrow, light and dark: nothing fetched, nothing said, nothing that overflows."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from test_report import folder, invoke  # noqa: F401  (the fixture)

SIZES = {"desktop": (1280, 800), "phone": (390, 844)}
SCHEMES = ("light", "dark")
# Elements that stick out of the window, unless they lie in an area that scrolls by itself; and pictures without pixels.
LOOK = """() => {
  const out = [], wide = document.documentElement.clientWidth;
  const own = one => ['auto', 'scroll'].includes(getComputedStyle(one).overflowX);
  const scrolls = one => one && one !== document.body && (own(one) || scrolls(one.parentElement));
  for (const one of document.body.querySelectorAll('*')) {
    const box = one.getBoundingClientRect();
    if (box.width && (box.right > wide + 0.5 || box.left < -0.5) && !scrolls(one.parentElement)) out.push(one.outerHTML.slice(0, 90));
  }
  const clipped = [...document.querySelectorAll('h1, h2, h3, p, li, dd, figcaption, summary')]
    .filter(one => one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).display !== 'inline')
    .map(one => one.outerHTML.slice(0, 90));
  const labels = [...document.querySelectorAll('svg text')].filter(one => {
    const box = one.getBBox(), view = one.ownerSVGElement.viewBox.baseVal;
    return one.textContent && (box.x < -0.5 || box.x + box.width > view.width + 0.5 || box.y + box.height > view.height + 1);
  }).map(one => one.textContent);
  const colours = one => getComputedStyle(one).color.match(/[\\d.]+/g).slice(0, 3).map(Number);
  return {
    wide, scroll: document.documentElement.scrollWidth, out, clipped, labels,
    empty: [...document.images].filter(one => !one.complete || !one.naturalWidth).length,
    images: document.images.length, rows: document.querySelectorAll('tr').length, drawings: document.querySelectorAll('svg').length,
    paper: getComputedStyle(document.body).backgroundColor.match(/[\\d.]+/g).slice(0, 3).map(Number),
    inks: [colours(document.body), ...[...document.querySelectorAll('.note, .soft, th')].map(colours)],
  };
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium of the system: Playwright fetches none."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium")
    assert path is not None, "Chromium is not installed: apt-get install chromium"
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


def look(
    browser: Any, path: Path, size: tuple[int, int] = SIZES["desktop"], scheme: str = "light", scripts: bool = False
) -> dict[str, Any]:
    """Open a page without a network, all details open, and say what there is to see, what was asked for, and what was said."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, java_script_enabled=scripts, offline=True
    )
    page = context.new_page()
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    try:
        page.goto(path.as_uri())
        page.evaluate("() => document.querySelectorAll('details').forEach(one => one.open = true)")
        found = page.evaluate(LOOK)
    finally:
        context.close()
    return {**found, "asked": [one for one in asked if not one.startswith("data:") and one != path.as_uri()], "said": said}


def luminance(colour: list[float]) -> float:
    """Relative luminance of WCAG 2."""
    parts = [value / 255 for value in colour]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: list[float], other: list[float]) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def problems(found: dict[str, Any], scheme: str) -> list[str]:
    """What is wrong with what was seen."""
    wrong = [f"{what}: {found[what]}" for what in ("asked", "said", "out", "clipped", "labels") if found[what]]
    if found["scroll"] > found["wide"]:
        wrong.append(f"the page is {found['scroll']} wide, the window {found['wide']}")
    if found["empty"]:
        wrong.append(f"{found['empty']} pictures have no pixels")
    if (luminance(found["paper"]) > 0.5) != (scheme == "light"):
        wrong.append(f"the page is {found['paper']} in {scheme}")
    pale = [ink for ink in found["inks"] if contrast(ink, found["paper"]) < 4.5]
    if pale:
        wrong.append(f"letters of {pale[0]} cannot be read on {found['paper']}")
    return wrong


@pytest.fixture(scope="module")
def pages(folder: Path) -> dict[str, Path]:  # noqa: F811
    """Of the Verilog with its timeline, of a graph, of values that are no picture, and of many."""
    names = [folder / "run" / "cat & <b>", folder / "graph" / "grey", folder / "values" / "values"]
    invoke(folder, "report", *names, "--out", "all.html")
    return {name: folder / f"{name}.html" for name in ("run", "graph", "values", "all")}


@pytest.mark.parametrize("scripts", [False, True], ids=["scripts off", "scripts on"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_page_in_a_browser(browser: Any, pages: dict[str, Path], scheme: str, size: str, scripts: bool) -> None:
    shown = pages if size == "phone" else {name: pages[name] for name in ("run", "all")}
    for name, path in shown.items():
        found = look(browser, path, SIZES[size], scheme, scripts)
        assert not problems(found, scheme), f"{name}: " + "\n".join(problems(found, scheme))
        assert found["images"] >= (6 if name != "all" else 12) and found["rows"] > 20 and found["drawings"] > 10


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda page: page.replace("<footer>", "<footer><p style='width:3000px'>x</p>"), "out: "),
        (lambda page: page.replace("<footer>", "<footer><img src='x.png'>").replace("img-src data:", "img-src *"), "asked: "),
        (lambda page: page.replace("<footer>", "<footer><img src='https://example.org/x.png'>"), "said: "),
        (lambda page: page.replace("<footer>", "<footer><img src='data:image/png;base64,AA'>"), "1 pictures have no pixels"),
        (lambda page: page.replace("overflow-x: auto", "overflow-x: visible"), "the page is "),
        (lambda page: page.replace("--soft: #57606a", "--soft: #c8ccd0"), "cannot be read"),
        (lambda page: page.replace("overflow-wrap: anywhere", "").replace("<footer>", f"<footer><p>{'w' * 300}</p>"), "clipped: "),
        (lambda page: page.replace(">layers</text>", ">the layers of the network, each with its name</text>"), "labels: "),
    ],
)
def test_what_is_looked_for_is_found(
    browser: Any, pages: dict[str, Path], tmp_path: Path, break_it: Callable[[str], str], said: str
) -> None:
    """A page with one fault each is not taken for a good one."""
    good = pages["run"].read_text()
    assert break_it(good) != good
    (tmp_path / "bad.html").write_text(break_it(good))
    found = problems(look(browser, tmp_path / "bad.html", SIZES["phone"]), "light")
    assert any(one.startswith(said) or said in one for one in found), found
