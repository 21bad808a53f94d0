#include "deploy/clients/c/match.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN_BYTES = 200 };

static const double TOLERANCE = 1e-6;

static bool says(bool holds, const json_t *expected, const json_t *actual, char *ret_mismatch)
{
    char *wanted;
    char *got;

    if (holds)
        return true;
    wanted = json_dumps(expected, JSON_ENCODE_ANY);
    got = actual != NULL ? json_dumps(actual, JSON_ENCODE_ANY) : NULL;
    snprintf(ret_mismatch, MISMATCH_SIZE, "expected %.*s, got %.*s", SHOWN_BYTES, wanted,
             SHOWN_BYTES, got != NULL ? got : "nothing");
    free(wanted);
    free(got);
    return false;
}

static bool is_absent(const json_t *value)
{
    return value == NULL || json_is_null(value);
}

/* Absent is 0; 64-bit integers may be texts. */
static bool read_number(const json_t *value, double *ret)
{
    char *end;

    *ret = 0;
    if (is_absent(value))
        return true;
    if (!json_is_string(value)) {
        *ret = json_number_value(value);
        return json_is_number(value);
    }
    *ret = strtod(json_string_value(value), &end);
    return end != json_string_value(value) && *end == '\0';
}

static bool is_near(double expected, const json_t *actual, double tolerance)
{
    double number;

    return read_number(actual, &number) && fabs(number - expected) <= tolerance;
}

static bool match_near(const json_t *expected, const json_t *actual)
{
    return is_near(json_number_value(json_object_get(expected, "$near")), actual,
                   json_number_value(json_object_get(expected, "$within")));
}

static bool match_above(const json_t *expected, const json_t *actual)
{
    double number;

    return read_number(actual, &number) &&
           number > json_number_value(json_object_get(expected, "$above"));
}

static bool match_contains(const json_t *expected, const json_t *actual)
{
    const char *part = json_string_value(json_object_get(expected, "$contains"));

    return json_is_string(actual) && strstr(json_string_value(actual), part) != NULL;
}

/* Takes out of a copy of the list one element for each that is wanted. */
static bool match_unordered(const json_t *expected, const json_t *actual)
{
    const json_t *wanted = json_object_get(expected, "$unordered");
    json_t *rest = json_is_array(actual) ? json_copy((json_t *)(uintptr_t)actual) : json_array();
    bool matches = json_array_size(rest) == json_array_size(wanted);

    for (size_t i = 0; matches && i < json_array_size(wanted); i++) {
        char ignored[MISMATCH_SIZE];
        size_t at = 0;
        while (at < json_array_size(rest) &&
               !match(json_array_get(wanted, i), json_array_get(rest, at), ignored))
            at++;
        matches = json_array_remove(rest, at) == 0;
    }
    json_decref(rest);
    return matches;
}

static const struct {
    const char *key;
    bool (*match)(const json_t *expected, const json_t *actual);
} operators[] = {
    { "$near", match_near },
    { "$above", match_above },
    { "$contains", match_contains },
    { "$unordered", match_unordered },
};

static void prefix(char *mismatch, const char *where)
{
    char inner[MISMATCH_SIZE];

    snprintf(inner, sizeof inner, "%s", mismatch);
    snprintf(mismatch, MISMATCH_SIZE, "%.64s: %.900s", where, inner);
}

static bool match_members(const json_t *expected, const json_t *actual, char *ret_mismatch)
{
    const char *name;
    json_t *value;

    if (!says(is_absent(actual) || json_is_object(actual), expected, actual, ret_mismatch))
        return false;
    json_object_foreach((json_t *)(uintptr_t)expected, name, value)
    {
        if (!match(value, json_object_get(actual, name), ret_mismatch)) {
            prefix(ret_mismatch, name);
            return false;
        }
    }
    return true;
}

static bool match_object(const json_t *expected, const json_t *actual, char *ret_mismatch)
{
    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++)
        if (json_object_get(expected, operators[i].key) != NULL)
            return says(operators[i].match(expected, actual), expected, actual, ret_mismatch);
    return match_members(expected, actual, ret_mismatch);
}

static bool match_list(const json_t *expected, const json_t *actual, char *ret_mismatch)
{
    const size_t count = json_array_size(expected);

    if (!says((is_absent(actual) || json_is_array(actual)) && json_array_size(actual) == count,
              expected, actual, ret_mismatch))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!match(json_array_get(expected, i), json_array_get(actual, i), ret_mismatch))
            return false;
    return true;
}

static bool match_text(const json_t *expected, const json_t *actual)
{
    if (is_absent(actual))
        return json_string_length(expected) == 0;
    return json_equal(expected, actual);
}

bool match(const json_t *expected, const json_t *actual, char ret_mismatch[MISMATCH_SIZE])
{
    double number = json_number_value(expected);

    switch (json_typeof(expected)) {
    case JSON_OBJECT:
        return match_object(expected, actual, ret_mismatch);
    case JSON_ARRAY:
        return match_list(expected, actual, ret_mismatch);
    case JSON_INTEGER:
    case JSON_REAL:
        return says(is_near(number, actual, TOLERANCE * fmax(1, fabs(number))), expected, actual,
                    ret_mismatch);
    case JSON_STRING:
        return says(match_text(expected, actual), expected, actual, ret_mismatch);
    case JSON_TRUE:
        return says(json_is_true(actual), expected, actual, ret_mismatch);
    case JSON_FALSE:
        return says(is_absent(actual) || json_is_false(actual), expected, actual, ret_mismatch);
    case JSON_NULL:
        return says(is_absent(actual), expected, actual, ret_mismatch);
    }
    return false;
}

/* What stands for something else. -------------------------------------------------------------- */

static json_t *repeat_text(const json_t *pair)
{
    const char *text = json_string_value(json_array_get(pair, 0));
    const size_t count = (size_t)json_integer_value(json_array_get(pair, 1));
    const size_t length = strlen(text);
    char *whole = malloc(length * count + 1);
    json_t *json;

    for (size_t i = 0; whole != NULL && i < count; i++)
        memcpy(whole + i * length, text, length);
    json = whole != NULL ? json_stringn(whole, length * count) : NULL;
    free(whole);
    return json;
}

static json_t *repeat_value(const json_t *pair, const json_t *saved)
{
    json_t *value = expand(json_array_get(pair, 0), saved);
    json_t *list = json_array();

    for (json_int_t i = json_integer_value(json_array_get(pair, 1)); i > 0; i--)
        json_array_append(list, value);
    json_decref(value);
    return list;
}

static json_t *expand_object(const json_t *value, const json_t *saved)
{
    const json_t *name = json_object_get(value, "$saved");
    const json_t *text = json_object_get(value, "$repeat");
    const json_t *times = json_object_get(value, "$times");
    json_t *object;
    const char *key;
    json_t *one;

    if (name != NULL)
        return json_incref(json_object_get(saved, json_string_value(name)));
    if (text != NULL)
        return repeat_text(text);
    if (times != NULL)
        return repeat_value(times, saved);
    object = json_object();
    json_object_foreach((json_t *)(uintptr_t)value, key, one)
        json_object_set_new(object, key, expand(one, saved));
    return object;
}

json_t *expand(const json_t *value, const json_t *saved)
{
    json_t *list;

    if (json_is_object(value))
        return expand_object(value, saved);
    if (!json_is_array(value))
        return json_incref((json_t *)(uintptr_t)value);
    list = json_array();
    for (size_t i = 0; i < json_array_size(value); i++)
        json_array_append_new(list, expand(json_array_get(value, i), saved));
    return list;
}

json_t *look_up(json_t *value, const char *path)
{
    char part[64];

    while (*path != '\0' && value != NULL) {
        size_t length = strcspn(path, ".");
        snprintf(part, sizeof part, "%.*s", (int)length, path);
        value = json_is_array(value) ? json_array_get(value, (size_t)strtoul(part, NULL, 10))
                                     : json_object_get(value, part);
        path += length + (path[length] == '.');
    }
    return value;
}
