/* control_plane.c - the part of the AWS Lambda API (2015-03-31) that the aws CLI needs to create,
 * look at, change, delete and invoke a function, on loopback, so that deployment can be tested
 * without an account. It runs what it is given: each zip is unpacked, each invocation starts the
 * bootstrap that was in it.
 *
 *   control_plane FOLDER RUNNER     FOLDER for the zips; RUNNER is local_lambda: `BOOTSTRAP=FILE
 *                                   RUNNER run EVENT` prints the response, or fails and ends
 *
 * Prints its address, then a line for each call. Ends with SIGTERM or after two idle minutes.
 * Like Lambda it is not done at once: after each change the function is busy until somebody has
 * looked twice, and whoever changes or invokes it before that is refused.
 *
 * SPDX-License-Identifier: MIT-0 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "../lambda/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    BUSY_FOR = 2, /* looks after a change; one would be over before a missing wait shows */
    FUNCTIONS_MAX = 8,
    TEXT_MAX = 256,         /* a setting; Lambda's longest, the role's ARN, has 256 at most */
    LOG_TAIL = 4096,        /* what Lambda returns of the log */
    REQUEST_MAX = 70 << 20, /* Lambda takes zips up to 50 MB, in base64 */
    IDLE_MS = 120 * 1000,
    STALLED_S = 10, /* a client that stops in the middle of a request */
};

/* One function. A name of no length is a free place. */
struct function {
    char name[TEXT_MAX], runtime[TEXT_MAX], role[TEXT_MAX], handler[TEXT_MAX];
    char architecture[TEXT_MAX], memory[TEXT_MAX], code_sha256[TEXT_MAX];
    long code_size;
    const char *state, *update; /* State and LastUpdateStatus */
    unsigned busy_for;          /* so many looks */
};

static struct function functions[FUNCTIONS_MAX];
static const char *runner;

struct reply {
    int status;
    struct bytes fields, body;
};

/* ---- JSON: just enough for what the CLI writes ---------------------------------------------- */

/* Copies the member's string or number, or the only element of its array, into `to`, and leaves
 * `to` alone when there is no such member. None of the values has an escape in it. */
static void read_member(const char *json, const char *name, char *to, size_t size) {
    char quoted[TEXT_MAX];
    snprintf(quoted, sizeof quoted, "\"%s\":", name);
    const char *at = strstr(json, quoted);
    if (at == NULL)
        return;
    at += strlen(quoted);
    at += strspn(at, " [\"");
    snprintf(to, size, "%.*s", (int)strcspn(at, "\",]}"), at);
}

static void write_member(struct bytes *to, const char *name, const char *value) {
    bytes_format(to, "\"%s\":", name);
    json_string(to, value, strlen(value));
    bytes_text(to, ",");
}

/* ---- Replies -------------------------------------------------------------------------------- */

static void refuse(struct reply *reply, int status, const char *type, const char *message) {
    reply->status = status;
    bytes_format(&reply->fields, "x-amzn-ErrorType: %s\r\n", type);
    bytes_text(&reply->body, "{");
    write_member(&reply->body, "Code", type);
    write_member(&reply->body, "Message", message);
    bytes_text(&reply->body, "\"Type\":\"User\"}");
}

static void describe(struct reply *reply, const struct function *f) {
    struct bytes *to = &reply->body;
    bytes_text(to, "{");
    write_member(to, "FunctionName", f->name);
    bytes_format(to, "\"FunctionArn\":\"arn:aws:lambda:eu-central-1:123456789012:function:%s\",",
                 f->name);
    write_member(to, "Runtime", f->runtime);
    write_member(to, "Role", f->role);
    write_member(to, "Handler", f->handler);
    write_member(to, "CodeSha256", f->code_sha256);
    write_member(to, "State", f->state);
    write_member(to, "LastUpdateStatus", f->update);
    bytes_format(to, "\"Architectures\":[\"%s\"],\"MemorySize\":%s,\"CodeSize\":%ld}",
                 f->architecture, f->memory, f->code_size);
}

/* ---- The code ------------------------------------------------------------------------------- */

static bool write_file(const char *path, const struct bytes *content) {
    FILE *file = fopen(path, "wb");
    if (file == NULL)
        return false;
    bool whole = fwrite(content->data, 1, content->length, file) == content->length;
    return fclose(file) == 0 && whole;
}

/* By the system's own tool, so that it does not agree with our scripts by construction. */
static bool digest(const char *path, char *to, size_t size) {
    char command[2 * TEXT_MAX], hex[65] = "";
    unsigned char raw[32];
    struct bytes text = {0};
    snprintf(command, sizeof command, "sha256sum <%s", path);
    FILE *output = popen(command, "r");
    bool whole = output != NULL && fread(hex, 1, 64, output) == 64;
    if (output == NULL || pclose(output) != 0 || !whole)
        return false;
    for (size_t i = 0; i < sizeof raw; i++)
        if (sscanf(hex + 2 * i, "%2hhx", &raw[i]) != 1)
            return false;
    base64(&text, raw, sizeof raw);
    snprintf(to, size, "%.*s", (int)text.length, text.data);
    bytes_free(&text);
    return true;
}

/* Unpacks into a folder with the function's name, which check_name has made safe for a shell. */
static bool unpack(const struct function *f) {
    char command[4 * TEXT_MAX];
    snprintf(command, sizeof command, "rm -rf %s && unzip -q %s.zip -d %s >&2", f->name, f->name,
             f->name);
    return system(command) == 0;
}

static bool store_code(struct function *f, const char *json) {
    char path[TEXT_MAX + 8];
    struct bytes zip = {0};
    size_t size = strlen(json) + 1;
    char *text = malloc(size);
    if (text == NULL)
        return false;
    text[0] = '\0';
    read_member(json, "ZipFile", text, size);
    snprintf(path, sizeof path, "%s.zip", f->name);
    bool stored = base64_decode(&zip, text, strlen(text)) && zip.length > 0 &&
                  write_file(path, &zip) && unpack(f) &&
                  digest(path, f->code_sha256, sizeof f->code_sha256);
    f->code_size = (long)zip.length;
    bytes_free(&zip);
    free(text);
    return stored;
}

/* ---- The calls ------------------------------------------------------------------------------ */

static struct function *find(const char *name) {
    for (size_t i = 0; i < FUNCTIONS_MAX; i++)
        if (strcmp(functions[i].name, name) == 0)
            return &functions[i];
    return NULL;
}

static bool check_name(const char *name) {
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    size_t length = strlen(name);
    return length > 0 && length <= 64 && name[0] != '-' && strspn(name, allowed) == length;
}

static void read_settings(struct function *f, const char *json) {
    read_member(json, "Runtime", f->runtime, sizeof f->runtime);
    read_member(json, "Role", f->role, sizeof f->role);
    read_member(json, "Handler", f->handler, sizeof f->handler);
    read_member(json, "MemorySize", f->memory, sizeof f->memory);
    read_member(json, "Architectures", f->architecture, sizeof f->architecture);
}

static const char *wrong_settings(const struct function *f) {
    if (strcmp(f->runtime, "provided.al2023") != 0)
        return "Value at 'runtime' failed to satisfy constraint: provided.al2023";
    if (strncmp(f->role, "arn:aws:iam::123456789012:role/", 31) != 0)
        return "The role defined for the function cannot be assumed by Lambda.";
    if (strcmp(f->architecture, "x86_64") != 0 && strcmp(f->architecture, "arm64") != 0)
        return "Value at 'architectures' failed to satisfy constraint: x86_64, arm64";
    if (f->handler[0] == '\0')
        return "Runtime and Handler are mandatory parameters for functions created with zip.";
    return NULL;
}

static void create(struct reply *reply, const char *json) {
    struct function new = {.memory = "128", .architecture = "x86_64"};
    struct function *place = find("");
    read_member(json, "FunctionName", new.name, sizeof new.name);
    read_settings(&new, json);
    const char *wrong = wrong_settings(&new);
    if (!check_name(new.name) || place == NULL)
        refuse(reply, 400, "ValidationException", "bad function name, or no place for it");
    else if (find(new.name) != NULL)
        refuse(reply, 409, "ResourceConflictException", "Function already exist");
    else if (wrong != NULL)
        refuse(reply, 400, "InvalidParameterValueException", wrong);
    else if (!store_code(&new, json))
        refuse(reply, 400, "InvalidParameterValueException", "Could not unzip uploaded file.");
    else {
        new.state = "Pending";
        new.update = "Successful";
        new.busy_for = BUSY_FOR;
        *place = new;
        describe(reply, place);
        reply->status = 201;
    }
}

static bool is_busy(const struct function *f) {
    return strcmp(f->state, "Active") != 0 || strcmp(f->update, "Successful") != 0;
}

static void refuse_busy(struct reply *reply, const struct function *f) {
    char message[TEXT_MAX];
    snprintf(message, sizeof message,
             "The operation cannot be performed at this time. State: %s, LastUpdateStatus: %s",
             f->state, f->update);
    refuse(reply, 409, "ResourceConflictException", message);
}

/* The settings and, when `code` says so, the code. */
static void update(struct reply *reply, struct function *f, const char *json, bool code) {
    struct function changed = *f;
    read_settings(&changed, json);
    const char *wrong = wrong_settings(&changed);
    if (is_busy(f))
        refuse_busy(reply, f);
    else if (wrong != NULL)
        refuse(reply, 400, "InvalidParameterValueException", wrong);
    else if (code && !store_code(&changed, json))
        refuse(reply, 400, "InvalidParameterValueException", "Could not unzip uploaded file.");
    else {
        *f = changed;
        f->update = "InProgress";
        f->busy_for = BUSY_FOR;
        describe(reply, f);
    }
}

static void look(struct reply *reply, struct function *f, bool with_code) {
    if (with_code)
        bytes_text(&reply->body, "{\"Configuration\":");
    describe(reply, f);
    if (with_code)
        bytes_text(&reply->body, ",\"Code\":{\"RepositoryType\":\"S3\"}}");
    if (f->busy_for > 1) {
        f->busy_for--;
        return;
    }
    f->state = "Active";
    f->update = "Successful";
}

/* ---- Invoking ------------------------------------------------------------------------------- */

static int create_file(const char *path) {
    return open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
}

static void read_file(const char *path, struct bytes *to) {
    char buffer[4096];
    size_t length;
    FILE *file = fopen(path, "rb");
    while (file != NULL && (length = fread(buffer, 1, sizeof buffer, file)) > 0)
        bytes_append(to, buffer, length);
    if (file != NULL)
        fclose(file);
}

/* In a process of its own, whose output goes to the files `response` and `log`. */
static bool run(const struct function *f, const char *event) {
    char relative[TEXT_MAX + 16];
    int status;
    snprintf(relative, sizeof relative, "%s/bootstrap", f->name);
    char *path = realpath(relative, NULL);
    pid_t child = path == NULL ? -1 : fork();
    if (child == 0) {
        if (dup2(create_file("response"), 1) == 1 && dup2(create_file("log"), 2) == 2 &&
            setenv("BOOTSTRAP", path, 1) == 0)
            execl(runner, runner, "run", event, (char *)NULL);
        _exit(127);
    }
    free(path);
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

/* What the runner leaves: the response in its own file, an error as the last line of the log. */
static void invoke(struct reply *reply, const struct function *f, const char *event) {
    struct bytes log = {0};
    if (is_busy(f)) {
        refuse_busy(reply, f);
        return;
    }
    bool succeeded = run(f, event);
    read_file("response", &reply->body);
    read_file("log", &log);
    if (!succeeded) {
        bytes_text(&reply->fields, "X-Amz-Function-Error: Unhandled\r\n");
        size_t end = log.length > 0 ? log.length - 1 : 0, start = end;
        while (start > 0 && log.data[start - 1] != '\n')
            start--;
        bytes_append(&reply->body, log.data + start, end - start);
        log.length = start;
    }
    if (log.length > LOG_TAIL)
        bytes_drop_front(&log, log.length - LOG_TAIL);
    bytes_text(&reply->fields, "X-Amz-Executed-Version: $LATEST\r\nX-Amz-Log-Result: ");
    base64(&reply->fields, log.data, log.length);
    bytes_text(&reply->fields, "\r\n");
    bytes_free(&log);
}

/* ---- Routes --------------------------------------------------------------------------------- */

static void answer_for(struct reply *reply, const char *method, const char *name, const char *what,
                       const char *body) {
    struct function *f = find(name);
    if (f == NULL || name[0] == '\0')
        refuse(reply, 404, "ResourceNotFoundException", "Function not found");
    else if (strcmp(method, "GET") == 0 && strcmp(what, "") == 0)
        look(reply, f, true);
    else if (strcmp(method, "GET") == 0 && strcmp(what, "configuration") == 0)
        look(reply, f, false);
    else if (strcmp(method, "PUT") == 0 && strcmp(what, "configuration") == 0)
        update(reply, f, body, false);
    else if (strcmp(method, "PUT") == 0 && strcmp(what, "code") == 0)
        update(reply, f, body, true);
    else if (strcmp(method, "POST") == 0 && strcmp(what, "invocations") == 0)
        invoke(reply, f, body);
    else if (strcmp(method, "DELETE") == 0 && strcmp(what, "") == 0) {
        memset(f, 0, sizeof *f);
        reply->status = 204;
    } else
        refuse(reply, 404, "UnknownOperationException", "not in this stand-in");
}

static void answer(struct reply *reply, const struct request *request) {
    static const char root[] = "/2015-03-31/functions";
    char method[TEXT_MAX], target[TEXT_MAX], name[TEXT_MAX] = "", what[TEXT_MAX] = "";
    snprintf(method, sizeof method, "%.*s", (int)request->method_length, request->method);
    snprintf(target, sizeof target, "%.*s", (int)request->target_length, request->target);
    const char *body = request->body.length > 0 ? request->body.data : "";
    bool known = strncmp(target, root, strlen(root)) == 0;
    reply->status = 200;
    if (known)
        sscanf(target + strlen(root), "/%255[^/?]/%255[^/?]", name, what);
    if (known && strcmp(method, "POST") == 0 && name[0] == '\0')
        create(reply, body);
    else
        answer_for(reply, method, name, what, body);
    printf("%s %s %d\n", method, target, reply->status);
    fflush(stdout);
}

/* ---- Connections: one at a time, one request each ------------------------------------------- */

static enum request_reading receive(int fd, struct bytes *input, struct request *request) {
    char buffer[65536];
    enum request_reading reading = REQUEST_INCOMPLETE;
    while (reading == REQUEST_INCOMPLETE && input->length < REQUEST_MAX) {
        ssize_t length = recv(fd, buffer, sizeof buffer, 0);
        if (length <= 0)
            break;
        bytes_append(input, buffer, (size_t)length);
        request_free(request);
        reading = request_parse(input->data, input->length, request);
    }
    return reading;
}

static void serve(int fd) {
    struct bytes input = {0}, head = {0};
    struct request request = {0};
    struct reply reply = {0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){.tv_sec = STALLED_S},
               sizeof(struct timeval));
    if (receive(fd, &input, &request) == REQUEST_COMPLETE) {
        bytes_append(&request.body, "", 1);
        answer(&reply, &request);
        bytes_format(&head, "HTTP/1.1 %d -\r\nConnection: close\r\n", reply.status);
        if (reply.status != 204)
            bytes_format(&head, "Content-Type: application/json\r\nContent-Length: %zu\r\n",
                         reply.body.length);
        bytes_append(&head, reply.fields.data, reply.fields.length);
        bytes_text(&head, "\r\n");
        if (!send_all(fd, head.data, head.length) ||
            !send_all(fd, reply.body.data, reply.body.length))
            fprintf(stderr, "control_plane: the client went away: %s\n", strerror(errno));
    } else
        fprintf(stderr, "control_plane: %s\n",
                request.wrong ? request.wrong : "a request was not finished");
    request_free(&request);
    bytes_free(&input);
    bytes_free(&head);
    bytes_free(&reply.fields);
    bytes_free(&reply.body);
    close(fd);
}

int main(int argc, char **argv) {
    uint16_t port = 0;
    if (argc != 3) {
        fprintf(stderr, "control_plane: expected FOLDER RUNNER\n");
        return 2;
    }
    runner = realpath(argv[2], NULL);
    int listener = listen_on_loopback(&port);
    if (runner == NULL || chdir(argv[1]) < 0 || listener < 0) {
        fprintf(stderr, "control_plane: %s, %s or a socket: %s\n", argv[1], argv[2],
                strerror(errno));
        return 1;
    }
    printf("http://127.0.0.1:%d\n", port);
    fflush(stdout);
    while (poll(&(struct pollfd){.fd = listener, .events = POLLIN}, 1, IDLE_MS) > 0) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            serve(fd);
    }
    return 0;
}
