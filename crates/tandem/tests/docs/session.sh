# How a page's commands are run: sourced by the script that `sessions.rs` makes of a page. The folder of a person ($HOME) is prepared:
# ~/src/shop is the project that pages talk of, woven already; ~/logs is for what goes wrong.
set -eum -o pipefail # -m: what is started has a process group of its own, so that Ctrl-C reaches all of it, as in a terminal

started=() # process groups that are to be ended with the session
serving='' # the command that serves until Ctrl-C, if there is one

at() { where=$1; printf -- '--- %s\n' "$where" >&2; }
give_up() { printf 'session: %s\n' "$1" >&2; exit 1; }

# await WHAT COMMAND…: until it succeeds. No time is promised, only that it happens.
await() {
    local what=$1 deadline=$((SECONDS + 90))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$deadline" ] || give_up "$what: not within 90 seconds"
        sleep 0.05
    done
}

has_trace() { [ -n "$(tandem traces --limit 1 --json 2>/dev/null)" ]; }
has_log() { [ -n "$(tandem logs --limit 1 --json 2>/dev/null)" ]; }
has_ended() { ! kill -0 "$1" 2>/dev/null; }

# What a person does before the next command that serves, and at the end: Ctrl-C, after which a command has to end well.
ctrl_c() {
    [ -n "$serving" ] || return 0
    local group=$serving code=0
    serving=''
    kill -INT -- "-$group" 2>/dev/null || true
    wait "$group" || code=$?
    case $code in
        0 | 130) ;;
        *) give_up "$where: exit code $code, and said: $(cat ~/logs/serving)" ;;
    esac
}

# serving_is PID: the last command serves; it is known when it has said something, or has ended by itself.
serving_is() {
    serving=$1
    is_there() { [ -s ~/logs/serving ] || has_ended "$serving"; }
    await "$where: no word" is_there
}

# With a program under `tandem run` there are traces soon.
traced() { is_seen() { has_trace || has_ended "$serving"; }; await "$where: no trace" is_seen; }

clean_up() {
    local code=$?
    trap - EXIT
    ctrl_c || code=1
    for group in "${started[@]}" $(jobs -p); do kill -TERM -- "-$group" 2>/dev/null || true; done
    for group in "${started[@]}"; do wait "$group" 2>/dev/null || true; done
    [ "$code" = 0 ] || tail -n 20 ~/logs/* >&2 2>/dev/null || true
    exit "$code"
}
trap clean_up EXIT
trap 'exit 143' TERM

# As root it is not needed, and nobody else is asked to run what needs it.
sudo() { "$@"; }

cp -r "$REPOSITORY/crates/tandem/tests/docs/shop" ~/src/shop
cp "$WOVEN_SHOP" ~/src/shop/shop

# The scenes.

# A project whose program was built woven, and that does not run.
scene_program() { cd ~/src/shop; }

# Nothing but the folder of a person.
scene_home() { cd ~; }

# The same project, plain, and its program runs.
scene_plain() {
    cd ~/src/shop
    cp "$PLAIN_SHOP" shop
    SHOP_ADDR=127.0.0.1:$PORT ./shop >~/logs/shop 2>&1 &
    PID=$! started+=($!)
    GROUP=$(sed -n 's/^0:://p' "/proc/$PID/cgroup")
    answers() { (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null; }
    await 'the shop' answers
}

# The program runs, woven, under an agent; its traces and log records are in the store.
scene_running() {
    cd ~/src/shop
    cat >~/agent.yaml <<'END'
budget:
  agent: {cpu_percent: 50}
objectives:
  - {service: shop, route: "/cart*", p99: 250ms}
END
    cat >agent.yaml <<'END'
sampling:
  policies:
    - {name: failed, type: status_code, status_code: {status_codes: [ERROR]}}
END
    tandem agent --no-ui --profile --config ~/agent.yaml >~/logs/agent 2>&1 &
    started+=($!)
    await 'the agent' test -S "$TANDEM_SOCKET"
    OTEL_SERVICE_NAME=shop OTEL_LOGS_EXPORTER=otlp ./shop >~/logs/shop 2>&1 &
    PID=$! started+=($!)
    await 'traces' has_trace
    await 'log records' has_log
    TRACE=$(tandem traces --limit 1 --json | sed 's/^{"trace_id":"\([0-9a-f]*\)".*/\1/')
    SPAN=$(tandem trace "$TRACE" --json | sed -n '1s/.*"span_id":"\([0-9a-f]*\)".*/\1/p')
}

# The shop of examples/, of four services.
scene_example() {
    mkdir ~/examples
    cp -r "$REPOSITORY/examples/shop" ~/examples/
    cd ~/examples/shop
}
