// The screens of many machines, small and moving, in the list of machines: each while it is in sight.

const LAST_WORDS = [4401, 4403, 4404, 4429]; // close codes after which nobody asks again by themselves
const RETRY = 5000; // ms
const HEADER = 4; // bytes in front of a picture

const sockets = new Map();
let watcher = null;

function open(box) {
  if (sockets.has(box)) return;
  const socket = new WebSocket(new URL(box.dataset.liveSmall, location.href.replace(/^http/, "ws")));
  socket.binaryType = "arraybuffer";
  sockets.set(box, socket);
  socket.onmessage = ({ data }) => {
    if (typeof data !== "string") draw(box, data).finally(() => socket.readyState === 1 && socket.send('{"seen":1}'));
  };
  socket.onclose = ({ code }) => {
    if (sockets.get(box) !== socket) return;
    sockets.delete(box);
    box.replaceChildren(); // the last picture that is kept shows again
    watcher.unobserve(box.parentElement);
    if (!LAST_WORDS.includes(code)) setTimeout(() => box.isConnected && watcher.observe(box.parentElement), RETRY);
  };
}

function close(box) {
  const socket = sockets.get(box);
  sockets.delete(box);
  socket?.close();
}

async function draw(box, data) {
  const picture = await createImageBitmap(new Blob([new Uint8Array(data, HEADER)], { type: "image/jpeg" }));
  const canvas = box.querySelector("canvas") ?? box.appendChild(document.createElement("canvas"));
  canvas.setAttribute("aria-hidden", "true");
  canvas.width = picture.width;
  canvas.height = picture.height;
  canvas.getContext("2d").drawImage(picture, 0, 0);
  picture.close();
}

function begin() {
  for (const box of [...sockets.keys()]) if (!box.isConnected) close(box);
  for (const box of document.querySelectorAll("[data-live-small]")) watcher.observe(box.parentElement);
}

export function startLiveSmall() {
  if (!document.querySelector(".machine-grid") || !window.WebSocket) return;
  watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const box = target.querySelector("[data-live-small]");
      if (box && isIntersecting && !document.hidden) open(box);
      else if (box) close(box);
    }
  });
  begin();
  document.body.addEventListener("htmx:afterSettle", begin);
  document.addEventListener("visibilitychange", () => {
    for (const box of document.querySelectorAll("[data-live-small]")) {
      if (document.hidden) close(box);
      watcher.unobserve(box.parentElement);
      watcher.observe(box.parentElement); // tells at once whether it is in sight
    }
  });
  window.addEventListener("pagehide", () => {
    for (const box of [...sockets.keys()]) close(box);
  });
}
