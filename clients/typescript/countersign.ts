/**
 * Ask people before a program acts: one file, fetch only. Copy it into your program.
 *
 *   const countersign = new Countersign();
 *   const verdict = await countersign.approve("mail.send", { to: "ops@example.com" });
 *   if (verdict.approved) await send(verdict.params);
 *
 * COUNTERSIGN_URL and COUNTERSIGN_API_KEY of the environment say where and with what, where the options do not.
 */

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
export type Params = { [name: string]: Json };
export type Status = "pending" | "approved" | "rejected" | "answered" | "expired" | "cancelled" | "void";
export type Outcome = "executed" | "skipped" | "failed";

export interface Action {
  name: string;
  params: Params;
  host?: string;
  url?: string;
  risk?: "read" | "write" | "spend" | "access" | "destroy";
}

/** What may be said beside the question: docs/api/approvals.md, section 13. */
export interface Fields {
  title?: string;
  message?: string;
  external_id?: string;
  source?: { name: string; url?: string; ref?: string };
  evidence?: { pictures?: string[]; links?: { label: string; url: string }[] };
  end_user?: string;
  priority?: number;
  assignee?: string;
  quorum?: { group: string; count: number }[];
  four_eyes?: boolean;
  timeout_seconds?: number;
  on_timeout?: "reject" | "default_answer" | "expire";
  webhook_url?: string;
  metadata?: Params;
}

/** A request as the server shows it; more keys than these. */
export interface Approval {
  id: string;
  status: Status;
  action: Action | null;
  action_hash: string | null;
  edited_action: { name: string; params: Params } | null;
  decision: { note: string | null; actor: { name: string }; answers: { [id: string]: Json } | null } | null;
  resolved_at: string | null;
  undo_until: string | null;
  [more: string]: unknown;
}

export interface Options {
  url?: string;
  key?: string;
  /** Seconds for which a call that gets no answer is repeated. */
  patience?: number;
  /** Longest pause between two attempts, in seconds. */
  mostPause?: number;
  fetch?: typeof fetch;
}

/** How long to wait here; the request stays open after that. */
export interface Waiting {
  seconds?: number;
  signal?: AbortSignal;
}

export class CountersignError extends Error {}

/** The server understood and said no; `code` as in docs/errors.md. */
export class Refused extends CountersignError {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(`${message} (${status} ${code})`);
    this.status = status;
    this.code = code;
  }
}

/** No answer for as long as we were ready to try. */
export class Unreachable extends CountersignError {}

/** What was approved is not what was asked for. */
export class ActionChanged extends CountersignError {}

/** What people decided. Act only if `approved`, and with `params`: a person may have edited them. */
export class Verdict {
  readonly approval: Approval;

  constructor(approval: Approval) {
    this.approval = approval;
  }

  get id(): string {
    return this.approval.id;
  }

  get status(): Status {
    return this.approval.status;
  }

  get approved(): boolean {
    return this.status === "approved" || this.status === "answered";
  }

  get note(): string {
    return this.approval.decision?.note ?? "";
  }

  get edited(): boolean {
    return this.approval.edited_action !== null;
  }

  get params(): Params {
    return (this.approval.edited_action ?? this.approval.action)?.params ?? {};
  }

  /** By question; a list where several options may be chosen. */
  get answers(): { [id: string]: Json } {
    const answers = this.approval.decision?.answers ?? {};
    return Object.fromEntries(Object.entries(answers).map(([id, answer]) => [id, valueOf(answer)]));
  }

  /** Of the one question that ask() asks. */
  get answer(): Json {
    return this.answers["answer"] ?? null;
  }
}

const LONGEST_WAIT = 60; // seconds, of one call
const WAITING_PATIENCE = 900; // seconds: a server is restarted, a laptop wakes up
const CLOCKS_APART = 300; // seconds

export class Countersign {
  private readonly url: string;
  private readonly key: string;
  private readonly patience: number;
  private readonly mostPause: number;
  private readonly fetch: typeof fetch;

  constructor(options: Options = {}) {
    this.url = (options.url ?? fromEnvironment("COUNTERSIGN_URL")).replace(/\/+$/, "").replace(/\/v1$/, "");
    this.key = (options.key ?? fromEnvironment("COUNTERSIGN_API_KEY")).trim();
    this.patience = options.patience ?? 30;
    this.mostPause = options.mostPause ?? 15;
    this.fetch = options.fetch ?? globalThis.fetch.bind(globalThis);
    if (!/^https?:\/\/./.test(this.url)) throw new CountersignError("COUNTERSIGN_URL must be the address of the server.");
    if (!/^[\x21-\x7e]+$/.test(this.key)) throw new CountersignError("COUNTERSIGN_API_KEY must be a key.");
  }

  /** May this action run? Throws ActionChanged, Refused, Unreachable. */
  async approve(name: string, params: Params, more: Fields & Omit<Action, "name" | "params"> = {}, waiting: Waiting = {}) {
    const { host, url, risk, ...fields } = more;
    const about = Object.fromEntries(Object.entries({ host, url, risk }).filter(([, value]) => value !== undefined));
    const action: Action = { name, params, ...about };
    return this.decided(await this.open({ kind: "tool", title: shortened(`Run ${name}`), action, ...fields }), waiting);
  }

  /** `verdict.answer` is an option or what somebody wrote. */
  async ask(question: string, options: string[] = [], fields: Fields = {}, waiting: Waiting = {}): Promise<Verdict> {
    const asked = { id: "answer", question, options: options.map((label) => ({ label })) };
    return this.decided(await this.open({ kind: "question", title: shortened(question), questions: [asked], ...fields }), waiting);
  }

  /** Opens a request and does not wait. To send it twice opens it once. */
  async open(body: { kind: string; action?: Action; [name: string]: unknown }): Promise<Approval> {
    const approval = await this.call("POST", "/v1/approvals", body);
    if (body.action && !same(body.action, approval.action)) {
      throw new ActionChanged(`${approval.id} shows people another action than was asked for.`);
    }
    return approval;
  }

  /** Waits for a request that open() gave. */
  async decided(asked: Approval, waiting: Waiting = {}): Promise<Verdict> {
    const end = waiting.seconds === undefined ? Infinity : now() + waiting.seconds;
    let approval = asked;
    let seen = "";
    let early = 0;
    for (;;) {
      if (approval.status === "pending") {
        if (now() >= end) return new Verdict(approval);
        const wait = Math.max(1, Math.floor(Math.min(end - now(), LONGEST_WAIT * (0.8 + 0.2 * Math.random()))));
        const begun = now();
        approval = await this.read(asked.id, wait, waiting.signal);
        // Answered before its time and nothing decided: the server stops, or somebody else waits with our key.
        early = approval.status === "pending" && now() - begun < wait / 2 ? early + 1 : 0;
        if (early) await pause(this.backoff(early), waiting.signal);
        continue;
      }
      const window = secondsToTakeBack(approval);
      const state = `${approval.status} ${approval.resolved_at} ${approval.undo_until}`;
      if (!window || state === seen) break;
      seen = state;
      await pause(window, waiting.signal);
      approval = await this.read(asked.id, 0, waiting.signal);
    }
    checkBinding(asked, approval);
    return new Verdict(approval);
  }

  /** Goes on with a request of which the id was kept. */
  async wait(id: string, waiting: Waiting = {}): Promise<Verdict> {
    return this.decided(await this.read(id, 0, waiting.signal), waiting);
  }

  async cancel(id: string, reason?: string): Promise<Verdict> {
    return new Verdict(await this.call("POST", `/v1/approvals/${encodeURIComponent(id)}/cancel`, reason ? { reason } : {}));
  }

  /** Says once what became of it. */
  async report(id: string, outcome: Outcome, text?: string): Promise<Verdict> {
    const body = text ? { outcome, text: text.slice(0, 4000) } : { outcome };
    return new Verdict(await this.call("PUT", `/v1/approvals/${encodeURIComponent(id)}/result`, body));
  }

  private read(id: string, wait: number, signal?: AbortSignal): Promise<Approval> {
    const path = `/v1/approvals/${encodeURIComponent(id)}${wait ? `?wait=${wait}` : ""}`;
    return this.call("GET", path, undefined, wait + 15, WAITING_PATIENCE, signal);
  }

  /** Cuts, 429 and 5xx are tried again: what is sent here may be sent twice. */
  private async call(
    method: string, path: string, body?: unknown, seconds = 30, patience = this.patience, signal?: AbortSignal,
  ): Promise<Approval> {
    const headers: Record<string, string> = { "X-API-Key": this.key, Accept: "application/json" };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    if (method === "POST") headers["Idempotency-Key"] = crypto.randomUUID();
    const end = now() + patience;
    for (let attempt = 1; ; attempt++) {
      let trouble: string;
      let after: number | undefined;
      try {
        const ends = AbortSignal.timeout(seconds * 1000);
        const response = await this.fetch(this.url + path, {
          method, headers, redirect: "manual", body: body === undefined ? null : JSON.stringify(body),
          signal: signal ? AbortSignal.any([signal, ends]) : ends,
        });
        const text = await response.text();
        if (response.ok) return JSON.parse(text) as Approval;
        const error = errorOf(text);
        trouble = `${response.status} ${error.code}`;
        if (response.status !== 429 && response.status < 500 && error.code !== "IDEMPOTENCY_IN_FLIGHT") {
          throw new Refused(response.status, error.code, error.message);
        }
        after = Number(response.headers.get("Retry-After") ?? "x");
      } catch (error) {
        if (error instanceof Refused || signal?.aborted) throw error;
        trouble = String(error);
      }
      const rest = after === undefined || Number.isNaN(after) ? this.backoff(attempt) : Math.min(after, 60) + Math.random();
      if (now() + rest > end) throw new Unreachable(`No answer from the server: ${trouble}.`);
      await pause(rest, signal);
    }
  }

  private backoff(attempt: number): number {
    return Math.min(this.mostPause, 0.5 * 2 ** Math.min(attempt, 10)) * (0.5 + 0.5 * Math.random());
  }
}

function fromEnvironment(name: string): string {
  const environment = (globalThis as { process?: { env: Record<string, string | undefined> } }).process?.env;
  return environment?.[name] ?? "";
}

function now(): number {
  return performance.now() / 1000;
}

function pause(seconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, seconds * 1000);
    if (signal?.aborted) abort();
    signal?.addEventListener("abort", abort, { once: true });
  });
}

function shortened(text: string): string {
  const line = Array.from(text.replace(/\s+/g, " ").trim());
  return line.length <= 200 ? line.join("") : `${line.slice(0, 199).join("")}…`;
}

function valueOf(answer: Json): Json {
  if (Array.isArray(answer)) return answer.map(valueOf);
  return answer !== null && typeof answer === "object" && "value" in answer ? (answer["value"] ?? null) : answer;
}

function errorOf(text: string): { code: string; message: string } {
  try {
    const { code, message } = (JSON.parse(text) as { error: { code: string; message: string } }).error;
    return { code, message };
  } catch {
    return { code: "HTTP_ERROR", message: "The answer is not one of Countersign" };
  }
}

/** As JSON says it, whatever the order of keys. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    inner !== null && typeof inner === "object" && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}

function same(asked: Action, shown: Action | null): boolean {
  return shown !== null && shown.name === asked.name && canonical(shown.params) === canonical(asked.params);
}

/** A decision can be taken back for so long: the whole time, for the clocks of two computers differ. */
function secondsToTakeBack(approval: Approval): number {
  if (!approval.undo_until || !approval.resolved_at) return 0;
  const until = Date.parse(approval.undo_until) / 1000;
  return Date.now() / 1000 > until + CLOCKS_APART ? 0 : until - Date.parse(approval.resolved_at) / 1000 + 0.5;
}

/** The hash is the server's: another language may write numbers and keys in another way than it does. */
function checkBinding(asked: Approval, approval: Approval): void {
  if (approval.status !== "approved" || !asked.action) return;
  const edit = approval.edited_action;
  const unchanged = edit ? edit.name === asked.action.name : approval.action_hash === asked.action_hash;
  if (!unchanged || !same(asked.action, approval.action)) {
    throw new ActionChanged(`${approval.id} was approved for another action than was asked for.`);
  }
}
