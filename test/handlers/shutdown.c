/* shutdown.c - writes each event into a journal, the file that $JOURNAL names, and closes it when
 * Lambda ends the environment. Lambda kills a runtime without a word, unless an extension is registered:
 * then SIGTERM comes first, and SIGKILL 300 ms later. So this registers one, which is nothing but a
 * connection that waits for ever. Not for Managed Instances, whose workers would all register it.
 *
 * SPDX-License-Identifier: MIT-0 */
#define HANDLER write_down
#define INITIALIZE open_journal
#include "../../bootstrap.c"

#include <fcntl.h>

static int journal;

/* Comes at any time, perhaps within malloc: it may call only what signal-safety(7) lists. */
static void close_journal(int signal_number) {
    static const char closed[] = "INFO closed the journal\n";
    (void)signal_number;
    close(journal);
    _exit(write(STDERR_FILENO, closed, sizeof closed - 1) < 0);
}

/* Sends the request that was begun, on a new connection. */
static void send_request(struct runtime *extension, struct text body) {
    end_request_head(extension);
    require_connection(extension);
    send_texts(extension->connection.socket, TEXTS(text_in(&extension->head), body));
}

/* False where there are no extensions, as in some emulators. Source: "Using the Lambda Extensions API
 * to create extensions". */
static bool register_extension(void) {
    static _Alignas(64) char memory[3 * REQUEST_HEAD_MAX + HEAD_MAX];
    static struct runtime extension;
    struct text name = S("Lambda-Extension-Identifier:"), identifier = ABSENT;
    use_memory(&extension.connection, memory, sizeof memory);
    parse_address(environment_variable("AWS_LAMBDA_RUNTIME_API"), &extension);
    begin_request(&extension, "POST ", "/2020-01-01/extension/register", ABSENT, "");
    append_field(&extension.head, "Lambda-Extension-Name", S("shutdown"));
    append_field(&extension.head, "Content-Length", S("13"));
    send_request(&extension, S("{\"events\":[]}"));
    struct text head = receive_head(&extension.connection, HEAD_MAX);
    hang_up(&extension.connection);
    while (head.length) {
        struct text line = cut_line(&head);
        if (begins_with(line, name))
            identifier = trim(without(line, name.length));
    }
    if (identifier.length == 0)
        return false;
    begin_request(&extension, "GET ", "/2020-01-01/extension/event/next", ABSENT, "");
    append_field(&extension.head, "Lambda-Extension-Identifier", identifier);
    send_request(&extension, ABSENT); /* and nobody receives: there will be no event */
    return true;
}

static struct outcome open_journal(void) {
    const char *path = getenv("JOURNAL");
    journal = open(path ? path : "/tmp/journal", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (journal < 0)
        return failure(S("Function.NoJournal"), S("the journal cannot be opened"));
    (void)signal(SIGTERM, close_journal);
    if (register_extension())
        log_info(NULL, S("opened the journal"));
    else
        log_warn(NULL, S("opened the journal; no SIGTERM will come, since extensions are refused"));
    return success(S(""));
}

static struct outcome write_down(const struct invocation *invocation) {
    if (send_texts(journal, TEXTS(invocation->event, S("\n"))) < TEXTS_MAX)
        return failure(S("Function.JournalFull"), S("the journal takes no more"));
    return success(invocation->event);
}
