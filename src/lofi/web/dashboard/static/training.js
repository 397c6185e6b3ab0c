// A training run is looked at again every few seconds, as long as the page is.
import { $, refresh } from "./core.js";

const OFTEN_MS = 4000, SELDOM_MS = 20000;

export function open(main) {
  let timer = null;
  const look = async () => {
    if (document.visibilityState === "visible" && $("[data-live]", main)) await refresh(new Set(["training"])).catch(() => {});
    timer = setTimeout(look, $("[data-running]", main) ? OFTEN_MS : SELDOM_MS);
  };
  timer = setTimeout(look, $("[data-running]", main) ? OFTEN_MS : SELDOM_MS);
  return () => clearTimeout(timer);
}
