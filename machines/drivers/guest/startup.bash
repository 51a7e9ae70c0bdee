# What the visible shell reads first. SCRATCH and NONCE are filled in by shell.py, which reads what is noted here.
#
# Marks, a line each in SCRATCH/marks: "P <exit code>" at a prompt, B when a command begins, C when the rest of one is
# awaited, W when a line was placed or looked at, X when
# another line stood there than the one expected, R when a hook was mended and a new prompt is needed first.
# C and D in the output itself (OSC 133, with a number nobody knows) stand around what a command writes.
__cs_mark() { builtin printf '%s\n' "$1" >>SCRATCH/marks; }
__cs_begun() {
  __cs_mark B
  HISTTIMEFORMAT='' builtin history 1 >|SCRATCH/ran
}
__cs_done() {
  local code=$?
  builtin printf '\e]133;D;NONCE\a'
  __cs_mark "P $code"
  case $- in *e*) return 0 ;; esac # errexit would end the shell
  return "$code"
}
# Whatever the user did to these, the next command is seen. Only what differs is set: bash holds on to the text of PS0 while
# it edits, so a new one counts from the next prompt on (status 1).
__cs_hooks() {
  local begun='$(__cs_begun)\e]133;C;NONCE\a' rest='$(__cs_mark C)> ' status=0
  set +H
  shopt -s promptvars
  case "${PROMPT_COMMAND-}" in
    __cs_done*) ;;
    *) PROMPT_COMMAND="__cs_done${PROMPT_COMMAND:+;$PROMPT_COMMAND}" ;;
  esac
  [[ ${PS2-} == "$rest" ]] || PS2=$rest
  [[ ${PS0-} == "$begun" ]] || { PS0=$begun; status=1; }
  return "$status"
}
# What stands at the prompt; and what decides which program a word of it starts, and with which settings.
__cs_line() {
  builtin printf '%s' "$READLINE_LINE" >|SCRATCH/was
  builtin printf '%s' "$PATH" >|SCRATCH/path
  (
    builtin unset READLINE_LINE READLINE_POINT READLINE_MARK READLINE_ARGUMENT
    builtin alias -p
    builtin declare -f
    builtin hash -l
    builtin declare -x
    builtin set +o
    builtin shopt -p
  ) >|SCRATCH/settings 2>/dev/null
}
# The line in SCRATCH/next takes the place of the one that stands there, unless SCRATCH/expected says otherwise.
__cs_place() {
  local line expected
  __cs_line
  if [[ -e SCRATCH/expected ]]; then
    IFS= builtin read -r -d '' expected <SCRATCH/expected
    if [[ $READLINE_LINE != "$expected" ]]; then
      __cs_mark X
      return 0
    fi
  fi
  if ! __cs_hooks; then
    __cs_mark R
    return 0
  fi
  IFS= builtin read -r -d '' line <SCRATCH/next
  READLINE_LINE=$line
  READLINE_POINT=${#line}
  __cs_mark W
}
# What stands there, without changing it. A key that the line editor quoted (Ctrl+V before it) is taken out again.
__cs_look() {
  local quoted=$'\e[98~'
  if [[ $READLINE_LINE == *"$quoted"* ]]; then
    READLINE_LINE=${READLINE_LINE/"$quoted"/}
    READLINE_POINT=${#READLINE_LINE}
  fi
  __cs_line
  __cs_mark W
}
for __cs_map in emacs vi-insert vi-command; do
  bind -m "$__cs_map" -x '"\e[99~": __cs_place'
  bind -m "$__cs_map" -x '"\e[98~": __cs_look'
done 2>/dev/null
unset __cs_map HISTFILE
bind 'set enable-bracketed-paste off' 2>/dev/null
__cs_hooks
PS1='\[\e]133;A;NONCE\a\]agent@machine:\w\$ '
shopt -s checkwinsize
alias ls='ls --color=auto' grep='grep --color=auto'
