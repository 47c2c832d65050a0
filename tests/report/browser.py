"""A page in a real browser: what its console says, and where its parts lie at some width."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import debian
import pytest

# Runs in the page. Parts that contain one another may share space, all others must not; what stands in a region that scrolls
# may be wider than the page.
LAYOUT = """
const parts = [...document.querySelectorAll('h1,h2,h3,h4,p,nav,header,figure,figcaption,details,summary,.scroll,.caption,li')]
  .filter(part => part.checkVisibility() && !part.closest('.skip'));
const boxes = parts.map(part => part.getBoundingClientRect());
const name = part => part.tagName + ': ' + part.textContent.trim().slice(0, 40);
const found = {width: innerWidth, page: document.documentElement.scrollWidth, height: document.documentElement.scrollHeight,
  overlaps: [], outside: [], without_alt: [], broken: [], images: document.images.length};
for (let i = 0; i < parts.length; i++) {
  const a = boxes[i];
  if ((a.right > document.documentElement.clientWidth + 1 || a.left < -1) && !parts[i].parentElement.closest('.scroll')) found.outside.push(name(parts[i]));
  for (let j = i + 1; j < parts.length; j++) {
    const b = boxes[j];
    const shared = Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
      && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1;
    if (shared && !parts[i].contains(parts[j]) && !parts[j].contains(parts[i]))
      found.overlaps.push(name(parts[i]) + ' | ' + name(parts[j]));
  }
}
for (const image of document.images) {
  if (!image.alt) found.without_alt.push(image.outerHTML.slice(-60));
  if (!image.complete || !image.naturalWidth) found.broken.push(image.alt);
}
"""


def browser() -> str:
    """The browser's command, Debian's Chromium unless another is there; skips the test where none can be had."""
    for command in ("chromium", "chromium-browser", "google-chrome", "chrome"):
        if path := shutil.which(command):
            return path
    if reason := debian.obstacle({"chromium": "chromium"}):
        pytest.skip(f"no Chromium or Chrome here: {reason}")
    return shutil.which("chromium")


def opened(page: Path, *arguments: str) -> subprocess.CompletedProcess:
    """The browser opens a page without a window, and without a network: every host name leads nowhere."""
    profile = page.parent / "browser"
    command = [browser(), "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
    command += ["--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr", *arguments, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


def console(page: Path) -> list[str]:
    """Every line that the page puts on the browser's console."""
    return [line for line in opened(page, "--dump-dom").stderr.splitlines() if "CONSOLE" in line]


def layout(page: Path, width: int, folder: Path, unfolded: bool = False) -> dict:
    """Where the parts of a page lie at a width in pixels; `unfolded`: with all that is folded opened.

    The page stands in a frame of that width, because a window cannot be as narrow as a phone. The script must be let in: the page
    itself allows none.
    """
    text = re.sub(r"<meta http-equiv=.Content-Security-Policy.[^>]*>", "", page.read_text(encoding="utf-8"))
    if unfolded:
        text = text.replace("<details>", "<details open>")
    script = (
        f"onload = () => {{ {LAYOUT} parent.document.getElementById('found').textContent = JSON.stringify(found); }}"
    )
    text = text.replace("</body>", f"<script>{script}</script></body>")
    frame = folder / f"frame_{width}.html"
    frame.write_text(
        f"<!DOCTYPE html><meta charset='utf-8'><pre id='found'></pre>"
        f"<iframe style='border: 0; width: {width}px; height: 900px' srcdoc='{html.escape(text)}'></iframe>",
        encoding="utf-8",
    )
    shown = opened(frame, "--dump-dom", "--virtual-time-budget=10000", "--window-size=1400,1000").stdout
    return json.loads(html.unescape(re.search(r'<pre id="found">(.*?)</pre>', shown, re.DOTALL)[1]))
