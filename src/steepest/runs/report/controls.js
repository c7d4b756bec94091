// Copy buttons and scroll hints, for the reports of runs and sweeps.
"use strict";

for (const button of document.querySelectorAll(".copy"))
  button.addEventListener("click", async () => {
    const code = button.previousElementSibling;
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch {  // the clipboard may be unavailable on a page opened from a file
      getSelection().selectAllChildren(code);
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });

// A scrollable box shows a hint, and a shadow at each edge with hidden content.
function hint(box) {
  const frame = box.parentElement;
  const right = box.scrollWidth - box.clientWidth - box.scrollLeft;
  frame.classList.toggle("more-left", box.scrollLeft > 1);
  frame.classList.toggle("more-right", right > 1);
  frame.classList.toggle("more-below", box.scrollHeight - box.clientHeight - box.scrollTop > 1);
  const wide = box.scrollWidth > box.clientWidth + 1;
  const tall = box.scrollHeight > box.clientHeight + 1;
  frame.querySelector(".hint").textContent = wide ? "Scroll sideways to see more ↔" : tall ? "Scroll down to see more ↕" : "";
  box.tabIndex = wide || tall ? 0 : -1;
}
const resized = new ResizeObserver(entries => entries.forEach(entry => hint(entry.target)));
for (const box of document.querySelectorAll(".frame > .scroll")) {
  box.addEventListener("scroll", () => hint(box), { passive: true });
  resized.observe(box);
  hint(box);
}

addEventListener("beforeprint", () => {
  for (const closed of document.querySelectorAll("details")) closed.open = true;
});
