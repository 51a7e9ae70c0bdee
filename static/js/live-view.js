// The page of a link to a live screen: the token stands behind the # of its address, and is the socket's first message.

import { LiveScreen } from "./live-screen.js";

const token = location.hash.slice(1);
if (token) new LiveScreen(document.querySelector("[data-live-screen]"), token);
