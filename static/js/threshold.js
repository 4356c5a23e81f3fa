// The slider of the threshold: keeps slider, number and the line in the histogram together, and asks for the count
// when the hand rests. Without this script the number and its button do the same.
const form = document.getElementById("trial-form");
const RESTS_MS = 120;

const start = () => {
  const range = document.getElementById("trial-range");
  const value = document.getElementById("trial-value");
  const chart = document.getElementById("histogram");
  const line = document.getElementById("trial-line");
  let waiting;

  const draw = () => {
    const [left, right] = [Number(chart.dataset.left), Number(chart.dataset.right)];
    const x = String(left + Number(value.value) * (right - left));
    line.setAttribute("x1", x);
    line.setAttribute("x2", x);
  };

  const ask = () => {
    draw();
    clearTimeout(waiting);
    waiting = setTimeout(() => form.checkValidity() && form.dispatchEvent(new Event("trial")), RESTS_MS);
  };

  range.hidden = false;
  range.addEventListener("input", () => {
    value.value = range.value;
    ask();
  });
  value.addEventListener("input", () => {
    range.value = value.value;
    ask();
  });
};

// Only once htmx listens (its load event is sent when it has read the page): a slider moved before that would send
// its event to nobody, and the count would stay that of the old threshold beside the new number.
if (form) document.addEventListener("htmx:load", start, { once: true });
