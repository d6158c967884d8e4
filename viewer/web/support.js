// In every browser: shows the page only if this one can run it, else the sentence stays; failures are said, too.
(function () {
  var old = document.getElementById("old");
  var needed = [window.BigInt, window.ResizeObserver, Object.hasOwn, [].at, "noModule" in document.createElement("script")];
  for (var k = 0; k < needed.length; k++) if (!needed[k]) return;
  document.documentElement.className = "able";
  window.onerror = function (message) {
    document.documentElement.className = "";
    old.textContent = "This page has failed: " + message;
  };
  window.onunhandledrejection = function (event) { window.onerror(String(event.reason)); };
})();
