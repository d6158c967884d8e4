// In every browser: shows the page only if this one can run it, else the sentence stays; the first failure is said, too.
(function () {
  var old = document.getElementById("old"), needs = old.textContent, failed = false;
  var needed = [window.BigInt, window.ResizeObserver, Object.hasOwn, [].at, "noModule" in document.createElement("script")];
  for (var k = 0; k < needed.length; k++) if (!needed[k]) return;
  document.documentElement.className = "able";
  window.onerror = function (message, source) {
    if (/-extension:/.test(source) || /ResizeObserver loop/.test(message)) return; // not of this page, and no failure
    document.documentElement.className = "";
    if (!failed) old.textContent = "This page has failed: " + message + ". " + needs; // what follows is of the first one
    failed = true;
  };
  window.onunhandledrejection = function (event) { window.onerror(String(event.reason)); };
  window.addEventListener("load", function () { // its script has run by now, if there is one
    if (!window.tidepool && !failed) window.onerror("its script is missing, so the file may be cut off");
  });
})();
