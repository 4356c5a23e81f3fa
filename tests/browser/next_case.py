"""Measures in the page itself how long it takes until another case is there."""

from __future__ import annotations

WATCH = """() => {
  const began = performance.now(), old = document.querySelector('main h1');
  window.took = null;
  const look = () => {
    const now = document.querySelector('main h1');
    if (now && now !== old) window.took = performance.now() - began;
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}"""
"""Begins to look for another headline than the present one."""
TOOK = """() => new Promise((tell) => {
  const look = () => window.took === null ? requestAnimationFrame(look) : tell(window.took);
  look();
})"""
"""Waits until it is there, and tells the milliseconds."""
