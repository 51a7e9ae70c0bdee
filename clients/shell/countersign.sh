# Ask people before a script acts. For bash, with curl and jq:
#
#   . countersign.sh
#   countersign_approve deploy '{"env": "production"}' && ./deploy.sh
#
# COUNTERSIGN_URL and COUNTERSIGN_API_KEY say where and with what. Exit codes: 0 approved, 1 rejected, 2 nobody answered in time
# or it was withdrawn, 3 anything else. Key and request go to curl by pipes: its arguments can be seen by all on this computer.

COUNTERSIGN_PATIENCE=${COUNTERSIGN_PATIENCE:-900} # seconds for which a server that does not answer is asked again

# countersign_approve NAME [PARAMS_AS_JSON [EXTERNAL_ID]]: may this action run? Prints the parameters to act with, as approved.
countersign_approve() {
  local params=${2:-} body
  [ -n "$params" ] || params='{}'
  body=$(jq -cn --arg name "$1" --argjson params "$params" --arg id "${3:-}" \
    '{kind: "tool", title: ("Run " + $name)[:200], action: {name: $name, params: $params}}
    + if $id == "" then {} else {external_id: $id} end') || return 3
  _countersign_ask "$body" '(.edited_action // .action).params'
}

# countersign_question QUESTION [EXTERNAL_ID]: prints what a person answers.
countersign_question() {
  local body
  body=$(jq -cn --arg question "$1" --arg id "${2:-}" \
    '{kind: "question", title: $question[:200], questions: [{id: "answer", question: $question}]}
    + if $id == "" then {} else {external_id: $id} end') || return 3
  _countersign_ask "$body" '.decision.answers.answer.value'
}

# _countersign_ask BODY FILTER: opens the request, waits, and prints what the filter takes from the decided one.
_countersign_ask() {
  local opened approval id status
  opened=$(_countersign_call 30 POST /v1/approvals "$1") || return 3
  id=$(jq -r '.id | @uri' <<<"$opened")
  echo "Waiting for people: $id" >&2
  approval=$(_countersign_decided "$opened" "$id") || return 3
  status=$(jq -r .status <<<"$approval")
  jq -r '.decision.note // empty' <<<"$approval" | tr -d '\000-\010\013-\037\177' >&2
  case $status in
    approved | answered) ;;
    rejected) return 1 ;;
    *) return 2 ;;
  esac
  if ! _countersign_bound "$1" "$opened" "$approval"; then
    echo "$id was approved for another action than was asked for." >&2
    return 3
  fi
  jq -r "$2 | if type == \"string\" then . else tojson end" <<<"$approval"
}

# _countersign_decided APPROVAL ID: the request once it is decided and the time in which that can be taken back is over.
_countersign_decided() {
  local approval=$1 id=$2 wait begun window seen=
  while :; do
    if [ "$(jq -r .status <<<"$approval")" = pending ]; then
      wait=$((50 + RANDOM % 11)) begun=$SECONDS
      approval=$(_countersign_call $((wait + 15)) GET "/v1/approvals/$id?wait=$wait") || return 3
      # Answered before its time and nothing decided: the server stops, or somebody else waits with this key.
      if [ "$(jq -r .status <<<"$approval")" = pending ] && [ $((SECONDS - begun)) -lt 25 ]; then sleep $((1 + RANDOM % 5)); fi
      continue
    fi
    window=$(_countersign_window "$approval")
    if [ "$window" = 0 ] || [ "$(jq -c '[.status, .resolved_at, .undo_until]' <<<"$approval")" = "$seen" ]; then
      printf %s "$approval"
      return 0
    fi
    seen=$(jq -c '[.status, .resolved_at, .undo_until]' <<<"$approval")
    sleep "$window"
    approval=$(_countersign_call 30 GET "/v1/approvals/$id") || return 3
  done
}

# Seconds in which a decision can be taken back: their whole number, for the clocks of two computers differ.
_countersign_window() {
  jq -r 'def at: sub("\\.[0-9]+Z$"; "Z") | fromdate;
    if .undo_until == null or .resolved_at == null or (.undo_until | at) + 300 < now then 0
    else (.undo_until | at) - (.resolved_at | at) + 1 end' <<<"$1"
}

# _countersign_bound BODY OPENED APPROVAL: is what was approved what was asked for, or what a person made of it?
_countersign_bound() {
  jq -en --argjson asked "$1" --argjson opened "$2" --argjson approval "$3" 'def which: .action | {name, params};
    $asked.action == null or (($asked | which) == ($opened | which) and ($asked | which) == ($approval | which)
      and if $approval.edited_action == null then $approval.action_hash == $opened.action_hash
        else $approval.edited_action.name == $asked.action.name end)' >/dev/null
}

# _countersign_call SECONDS METHOD PATH [BODY]: the answer. Cuts, 429 and 5xx are tried again; what is sent twice is done once.
_countersign_call() {
  local seconds=$1 method=$2 path=$3 body=${4:-} once answer code end=$((SECONDS + COUNTERSIGN_PATIENCE)) pause=1
  once=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
  while :; do
    answer=$(curl -sS --max-time "$seconds" -X "$method" -w '\n%{http_code}' -H @<(_countersign_headers "$method" "$once") \
      ${body:+--data-binary @<(printf %s "$body")} "${COUNTERSIGN_URL%/}$path") || answer=$'\n000'
    code=${answer##*$'\n'} answer=${answer%$'\n'*}
    case $code in
      2??) printf %s "$answer" && return 0 ;;
      429 | 5?? | 000) ;;
      409) [ "$(jq -r .error.code <<<"$answer")" = IDEMPOTENCY_IN_FLIGHT ] || break ;;
      *) break ;;
    esac
    [ $((SECONDS + pause)) -le "$end" ] || break
    sleep "$pause.$((RANDOM % 10))"
    [ "$pause" -ge 8 ] || pause=$((pause * 2))
  done
  echo "No approval from the server ($code): $(jq -r '.error.message // empty' <<<"$answer" 2>/dev/null)" >&2
  return 3
}

_countersign_headers() {
  printf 'X-API-Key: %s\nContent-Type: application/json\n' "$COUNTERSIGN_API_KEY"
  [ "$1" != POST ] || printf 'Idempotency-Key: %s\n' "$2"
}
