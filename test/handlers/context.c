/* context.c - answers with all that a function can know of its invocation and of itself.
 *
 * SPDX-License-Identifier: MIT-0 */
#define HANDLER context
#include "../../bootstrap.c"

static void member(struct buffer *json, struct text name, struct text value) {
    append(json, json->length == 1 ? S("") : S(","));
    append_json_string(json, name);
    append(json, S(":"));
    append_json_string(json, value);
}

static struct outcome context(const struct invocation *invocation) {
    struct function function = function_settings();
    struct buffer json = allocate_buffer(invocation, 1024 * 1024);
    append(&json, S("{"));
    member(&json, S("requestId"), invocation->request_id);
    member(&json, S("invokedFunctionArn"), invocation->invoked_function_arn);
    member(&json, S("traceId"), invocation->trace_id);
    member(&json, S("clientContext"), invocation->client_context);
    member(&json, S("cognitoIdentity"), invocation->cognito_identity);
    member(&json, S("tenantId"), invocation->tenant_id);
    member(&json, S("contentType"), invocation->content_type);
    member(&json, S("functionName"), function.name);
    member(&json, S("functionVersion"), function.version);
    member(&json, S("handler"), function.handler);
    member(&json, S("taskRoot"), function.task_root);
    member(&json, S("region"), function.region);
    member(&json, S("logGroupName"), function.log_group_name);
    member(&json, S("logStreamName"), function.log_stream_name);
    append(&json, S(",\"memorySize\":"));
    append_number(&json, function.memory_size);
    append(&json, S(",\"deadlineMs\":"));
    append_number(&json, invocation->deadline_ms);
    append(&json, S("}"));
    return json.overflow ? failure(S("Function.ContextTooLarge"), S("more than 1 MiB"))
                         : success(text_in(&json));
}
