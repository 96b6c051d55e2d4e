/* context.c - answers with all that a function can know of its invocation and of itself.
 *
 * SPDX-License-Identifier: MIT-0 */
#define HANDLER context
#include "../../bootstrap.c"

static void member(struct buffer *json, struct text name, struct text value) {
    append_text(json, json->length == 1 ? S("") : S(","));
    append_json_string(json, name);
    append_string(json, ":");
    append_json_string(json, value);
}

static struct outcome context(const struct invocation *invocation) {
    struct buffer json = allocate_buffer(invocation, 1024 * 1024);
    append_string(&json, "{");
    member(&json, S("requestId"), invocation->request_id);
    member(&json, S("invokedFunctionArn"), invocation->invoked_function_arn);
    member(&json, S("traceId"), invocation->trace_id);
    member(&json, S("clientContext"), invocation->client_context);
    member(&json, S("cognitoIdentity"), invocation->cognito_identity);
    member(&json, S("tenantId"), invocation->tenant_id);
    member(&json, S("contentType"), invocation->content_type);
    member(&json, S("functionName"), environment_variable("AWS_LAMBDA_FUNCTION_NAME"));
    member(&json, S("functionVersion"), environment_variable("AWS_LAMBDA_FUNCTION_VERSION"));
    member(&json, S("memorySize"), environment_variable("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"));
    member(&json, S("handler"), environment_variable("_HANDLER"));
    member(&json, S("taskRoot"), environment_variable("LAMBDA_TASK_ROOT"));
    member(&json, S("region"), environment_variable("AWS_REGION"));
    member(&json, S("logGroupName"), environment_variable("AWS_LAMBDA_LOG_GROUP_NAME"));
    member(&json, S("logStreamName"), environment_variable("AWS_LAMBDA_LOG_STREAM_NAME"));
    append_string(&json, ",\"deadlineMs\":");
    append_number(&json, invocation->deadline_ms);
    append_string(&json, "}");
    return json.overflow ? failure(S("Function.ContextTooLarge"), S("more than 1 MiB"))
                         : success(text_in(&json));
}
