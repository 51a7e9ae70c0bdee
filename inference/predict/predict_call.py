"""A prediction by itself: each call brings the whole conversation that it goes on with."""

import asyncio
from dataclasses import dataclass

from accounts.actor import Actor
from billing.direct import Price, price
from inference.billed_calls import BilledCall, Reply, model_for
from inference.predict import fixed_answers
from inference.predict.code_lines import with_code
from inference.predict.predictions import Prediction, predict, question_of
from inference.records import CallRecord
from inference.schemas import PredictBody
from inference.screenshots import Screenshot
from inference.specs import Spec


@dataclass
class PredictCall(BilledCall):
    """POST /v1/predict."""

    actor: Actor
    body: PredictBody
    shots: list[Screenshot]
    spec: Spec | None = None

    def begin(self) -> Price:
        if not self.actor.test:
            self.spec = model_for(self.actor)
        body = self.body
        return price(
            "predict",
            images=[shot.size for shot in self.shots],
            trajectory=len(body.trajectory),
            engine=body.cua_version,
            system_prompt=body.system_prompt,
        )

    async def ask(self, calls: list[CallRecord]) -> Reply:
        prediction = await self._prediction(calls)
        reasoning = prediction.reasoning if self.body.include_reasoning else None
        actions = with_code(prediction.actions) if self.body.include_raw_code else {"actions": prediction.actions}
        body = {"status": prediction.status, "reasoning": reasoning, **actions}
        return Reply(body, prediction.input_tokens, prediction.output_tokens)

    async def _prediction(self, calls: list[CallRecord]) -> Prediction:
        body = self.body
        if self.spec is None:
            picture, steps = self.shots[-1].sha256, len(body.trajectory)
            return fixed_answers.prediction(picture, body.instruction, body.screen, steps=steps, tools=body.tools)
        question = await asyncio.to_thread(question_of, self.spec, body, self.shots)
        return (await predict(question, body.screen, body.max_actions, calls)).prediction
