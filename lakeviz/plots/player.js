/** Play frames: a slider shows one, a button one after the other; `ready` may ask to wait. */
function player(button, slider, show, ready = () => true) {
  let timer = 0;
  const pause = () => {
    clearInterval(timer);
    timer = 0;
    button.textContent = "play";
    button.setAttribute("aria-pressed", "false");
  };
  slider.addEventListener("input", () => { pause(); show(Number(slider.value)); });
  button.addEventListener("click", () => {
    if (timer) { pause(); return; }
    button.textContent = "pause";
    button.setAttribute("aria-pressed", "true");
    timer = setInterval(() => {
      if (!ready()) return;
      slider.value = (Number(slider.value) + 1) % (Number(slider.max) + 1);
      show(Number(slider.value));
    }, 120);
  });
  return pause;
}
