// Starts the behaviours. Each finds its elements by data attributes; pages work without any of them.
import { startDrawing } from "./drawing.js";
import { startHelp } from "./help.js";
import { startKeys } from "./keys.js";
import { startLive } from "./live.js";
import { startMorph } from "./morph.js";
import { startQueue } from "./queue.js";
import { startReading } from "./reading.js";
import { startScreen } from "./screen.js";
import { startScrub } from "./scrub.js";
import { startSheet } from "./sheet.js";
import { startSmall } from "./small.js";
import { startSteps } from "./steps.js";
import { startTheme } from "./theme.js";
import { startTimes } from "./times.js";

startMorph();
for (const start of [startTimes, startTheme, startSmall, startSheet, startScreen, startScrub, startSteps, startDrawing, startQueue, startReading, startKeys, startHelp, startLive]) start();
