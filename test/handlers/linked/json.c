/* json.c - adds up prices with cJSON: {"items":[{"price":1.5},{"price":2}]} gives {"total":3.5}. The
 * user fetches cJSON.c and cJSON.h, from github.com/DaveGamble/cJSON, into the folder of the Makefile:
 *
 *     make HANDLER='test/handlers/linked/json.c cJSON.c' LDLIBS=-lm
 *
 * SPDX-License-Identifier: MIT-0 */
#define HANDLER add_up
#include "bootstrap.c"
#include "cJSON.h"

static struct outcome add_up(const struct invocation *invocation) {
    cJSON *event = cJSON_ParseWithLength(invocation->event.data, invocation->event.length);
    const cJSON *items = cJSON_GetObjectItemCaseSensitive(event, "items"), *item;
    bool right = cJSON_IsArray(items);
    double total = 0;
    cJSON_ArrayForEach(item, items) {
        const cJSON *price = cJSON_GetObjectItemCaseSensitive(item, "price");
        right = right && cJSON_IsNumber(price);
        total += right ? price->valuedouble : 0;
    }
    cJSON_Delete(event); /* which malloc made: it is not gone by itself */
    if (!right)
        return failure(S("Function.NoPrices"), S("expected {\"items\":[{\"price\":1.5}]}"));

    char *json = allocate(invocation, 64);
    cJSON *answer = cJSON_CreateObject();
    cJSON_AddNumberToObject(answer, "total", total);
    bool fits = cJSON_PrintPreallocated(answer, json, 64, false);
    cJSON_Delete(answer);
    return fits ? success(text_of(json)) : failure(S("Function.TooLong"), S("beyond 64 bytes"));
}
