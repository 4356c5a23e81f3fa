// A button that copies what stands beside it. Without this script, or without a clipboard, a click into the text selects
// all of it.
const SAID_MS = 4000;

const select = (source) => {
  const range = document.createRange();
  range.selectNodeContents(source);
  getSelection().removeAllRanges();
  getSelection().addRange(range);
};

const start = (button) => {
  const source = document.getElementById(button.dataset.copies);
  const said = document.getElementById(button.getAttribute("aria-describedby"));
  let waiting;

  const say = (words) => {
    said.textContent = words;
    clearTimeout(waiting);
    waiting = setTimeout(() => { said.textContent = ""; }, SAID_MS);
  };

  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(source.textContent.trim());
      say("Copied.");
    } catch {
      select(source); // no clipboard on plain http, or not allowed
      say("It is selected: press Ctrl+C, or ⌘C.");
    }
  });
};

document.querySelectorAll("button[data-copies]").forEach(start);
