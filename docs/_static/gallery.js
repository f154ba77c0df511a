// Draws the figures of a page when they come into view, in the theme that the page has.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const config = {
    displaylogo: false, responsive: true,
    modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"],
  };

  function template() {
    const theme = document.body.dataset.theme;
    const isDark = theme === "dark" || (theme !== "light" && dark.matches);
    return lakevizTemplates[isDark ? "dark" : "light"];
  }

  function draw(figure) {
    const spec = JSON.parse(figure.querySelector("script").textContent);
    const layout = { ...spec.layout, template: template() };
    Plotly.react(figure.querySelector("[role=img]"), spec.data, layout, config);
    figure.dataset.drawn = "";
  }

  addEventListener("DOMContentLoaded", () => {
    const seen = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        seen.unobserve(entry.target);
        draw(entry.target);
      }
    }, { rootMargin: "600px" });
    document.querySelectorAll("figure.lakeviz-figure").forEach((figure) => seen.observe(figure));
    const again = () => document.querySelectorAll("figure[data-drawn]").forEach(draw);
    dark.addEventListener("change", again);
    new MutationObserver(again).observe(document.body, { attributeFilter: ["data-theme"] });
  });
})();
