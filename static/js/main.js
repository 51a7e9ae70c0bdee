// Starts the behaviours. Each finds its elements by data attributes; pages work without any of them.
import { startCopy } from "./copy.js";
import { startForms } from "./forms.js";
import { startHelp } from "./help.js";
import { startLive } from "./live.js";
import { startLiveScreen } from "./live-screen.js";
import { startLiveSmall } from "./live-small.js";
import { startMachineScreen } from "./machine-screen.js";
import { startMorph } from "./morph.js";
import { startPhoneMenu } from "./phone-menu.js";
import { startQueue } from "./queue.js";
import { startReadBeforeDeciding } from "./read-before-deciding.js";
import { startScrubber } from "./scrubber.js";
import { startShortcuts } from "./shortcuts.js";
import { startStepList } from "./step-list.js";
import { startTheme } from "./theme.js";
import { startTimes } from "./times.js";
import { startWorkflowDrawing } from "./workflow-drawing.js";

const STARTS = [
  startTimes,
  startTheme,
  startForms,
  startCopy,
  startPhoneMenu,
  startMachineScreen,
  startLiveScreen,
  startLiveSmall,
  startScrubber,
  startStepList,
  startWorkflowDrawing,
  startQueue,
  startReadBeforeDeciding,
  startShortcuts,
  startHelp,
  startLive,
];

startMorph();
for (const start of STARTS) start();
