// Plays the pictures of an animation; with buttons to pause and to step.
for (const player of document.querySelectorAll(".player")) {
  const pictures = [...player.querySelectorAll("picture")], controls = player.querySelector(".buttons");
  const [play, back, forward] = controls.querySelectorAll("button"), slider = controls.querySelector("input");
  let shown = 0, timer = null;
  const show = (number) => {
    shown = (number + pictures.length) % pictures.length;
    pictures.forEach((picture, at) => { picture.hidden = at !== shown; });
    slider.value = shown + 1;
    controls.querySelector("output").value = `${shown + 1} of ${pictures.length}`;
  };
  const pause = () => { clearInterval(timer); timer = null; play.textContent = "Play"; };
  const start = () => { timer = setInterval(() => show(shown + 1), 1000); play.textContent = "Pause"; };
  const step = (number) => { pause(); show(number); };
  play.onclick = () => (timer === null ? start() : pause());
  back.onclick = () => step(shown - 1);
  forward.onclick = () => step(shown + 1);
  slider.oninput = () => step(slider.value - 1);
  controls.hidden = false;
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) pause(); else start();
}
