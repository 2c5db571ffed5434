/* Browsers refuse workers to pages that lie on a disk. There the search runs in a hidden frame
   instead, which speaks by messages as a worker does. */
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.waiting = [];
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.append(this.frame);
      window.addEventListener("message", (event) => {
        if (event.source !== this.frame.contentWindow) return;
        const message = new MessageEvent("message", { data: event.data });
        this.dispatchEvent(message);
        this.onmessage?.(message);
      });
      const inner = this.frame.contentDocument;
      inner.open();
      inner.close();
      const script = (fill) => {
        const made = inner.createElement("script");
        fill(made);
        inner.body.append(made);
        return made;
      };
      script((made) => {
        made.textContent = "window.hear = (data) => dispatchEvent(new MessageEvent('message', { data }));"
          + "window.postMessage = (data) => parent.postMessage(data, '*');"
          + "window.importScripts = (...urls) => Promise.all(urls.map((url) => new Promise((done) => {"
          + "const s = document.createElement('script'); s.src = url; s.onload = done; document.body.append(s); })));";
      });
      script((made) => {
        made.src = url;
        made.onload = () => {
          this.waiting.splice(0).forEach((data) => this.frame.contentWindow.hear(data));
          this.waiting = null;
        };
      });
    }

    postMessage(data) {
      if (this.waiting) this.waiting.push(data);
      else this.frame.contentWindow.hear(data);
    }

    terminate() {
      this.frame.remove();
    }
  };
}
