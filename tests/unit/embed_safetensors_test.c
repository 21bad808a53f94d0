#include "src/embed/safetensors.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/alloc_fault.h"

static const size_t two_by_three[] = { 2, 3 };

/* A file with @header, announced as @header_size bytes, and @n_floats values 0, 1, 2 ... */
static const char *write_file(const char *header, uint64_t header_size, size_t n_floats)
{
    static char path[4096];
    const char *dir = getenv("TEST_TMPDIR");

    snprintf(path, sizeof path, "%s/weights.XXXXXX", dir != NULL ? dir : "/tmp");
    FILE *file = fdopen(mkstemp(path), "wb");
    cr_assert_not_null(file);
    for (int i = 0; i < 8; i++)
        fputc((int)(header_size >> (8 * i) & 255), file);
    fputs(header, file);
    for (size_t i = 0; i < n_floats; i++) {
        float value = (float)i;
        fwrite(&value, sizeof value, 1, file);
    }
    fclose(file);
    return path;
}

/* As write_file(), with spaces behind the header so that the data is aligned. */
static const char *write_aligned(const char *header, size_t n_floats)
{
    char padded[1024];
    int width = (int)((strlen(header) + 7) / 8 * 8);

    snprintf(padded, sizeof padded, "%-*s", width, header);
    return write_file(padded, strlen(padded), n_floats);
}

static struct safetensors *open_file(const char *path)
{
    struct safetensors *file = NULL;
    struct status st = { 0 };

    safetensors_open(path, &file, &st);
    cr_assert(st.code == STATUS_OK, "%s", st.message);
    return file;
}

static void expect_no_file(const char *path, const char *message)
{
    struct safetensors *file = NULL;
    struct status st = { 0 };

    cr_expect_eq(safetensors_open(path, &file, &st), STATUS_DATA_LOSS, "%s", st.message);
    cr_expect_not_null(strstr(st.message, message), "'%s' does not say '%s'", st.message, message);
    cr_expect_null(file);
}

/* The tensor "a" described by @tensor, in a file with 8 floats. */
static void expect_tensor(const char *tensor, enum status_code code, const char *message)
{
    char header[512];
    const float *data = NULL;
    struct status st = { 0 };

    snprintf(header, sizeof header, "{\"a\":%s}", tensor);
    struct safetensors *file = open_file(write_aligned(header, 8));
    cr_expect_eq(safetensors_f32(file, "a", two_by_three, 2, &data, &st), code, "%s: %s", tensor,
                 st.message);
    cr_expect_not_null(strstr(st.message, message), "'%s' does not say '%s'", st.message, message);
    cr_expect((data != NULL) == (code == STATUS_OK));
    safetensors_close(file);
}

Test(safetensors, finds_a_tensor)
{
    struct safetensors *file = open_file(
        write_aligned("{\"__metadata__\":{\"format\":\"pt\"},"
                      "\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[8,32]}}",
                      8));
    const float *data;
    struct status st = { 0 };

    cr_assert_eq(safetensors_f32(file, "a", two_by_three, 2, &data, &st), STATUS_OK);
    cr_expect_eq(data[0], 2);
    cr_expect_eq(data[5], 7);
    safetensors_close(file);
}

Test(safetensors, checks_every_claim_of_a_tensor)
{
#define TENSOR(dtype, shape, offsets)                                                              \
    "{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}"
    expect_tensor(TENSOR("\"F32\"", "[2,3]", "[0,24]"), STATUS_OK, "");
    expect_tensor(TENSOR("\"F32\"", "[2,3]", "[8,32]"), STATUS_OK, "");

    expect_tensor(TENSOR("\"F16\"", "[2,3]", "[0,24]"), STATUS_INVALID_ARGUMENT, "dtype is F16");
    expect_tensor(TENSOR("7", "[2,3]", "[0,24]"), STATUS_INVALID_ARGUMENT, "dtype is missing");
    expect_tensor(TENSOR("\"F32\"", "[3,2]", "[0,24]"), STATUS_INVALID_ARGUMENT, "shape");
    expect_tensor(TENSOR("\"F32\"", "[6]", "[0,24]"), STATUS_INVALID_ARGUMENT, "shape");
    expect_tensor(TENSOR("\"F32\"", "[2,3,1]", "[0,24]"), STATUS_INVALID_ARGUMENT, "shape");
    expect_tensor(TENSOR("\"F32\"", "[2,\"3\"]", "[0,24]"), STATUS_INVALID_ARGUMENT, "shape");
    expect_tensor(TENSOR("\"F32\"", "6", "[0,24]"), STATUS_INVALID_ARGUMENT, "shape");

    expect_tensor(TENSOR("\"F32\"", "[2,3]", "[0,20]"), STATUS_DATA_LOSS, "data_offsets");
    expect_tensor(TENSOR("\"F32\"", "[2,3]", "[12,36]"), STATUS_DATA_LOSS, "data_offsets");
    expect_tensor(TENSOR("\"F32\"", "[2,3]", "[-8,16]"), STATUS_DATA_LOSS, "data_offsets");
    expect_tensor(TENSOR("\"F32\"", "[2,3]", "[24,0]"), STATUS_DATA_LOSS, "data_offsets");
    expect_tensor(TENSOR("\"F32\"", "[2,3]", "[2,26]"), STATUS_DATA_LOSS, "data_offsets");
    expect_tensor(TENSOR("\"F32\"", "[2,3]", "[0,9223372036854775807]"), STATUS_DATA_LOSS, "");
    expect_tensor(TENSOR("\"F32\"", "[2,3]", "[0]"), STATUS_DATA_LOSS, "data_offsets");
    expect_tensor(TENSOR("\"F32\"", "[2,3]", "[0.0,24.0]"), STATUS_DATA_LOSS, "data_offsets");
    expect_tensor("[]", STATUS_INVALID_ARGUMENT, "dtype");
#undef TENSOR
}

Test(safetensors, names_the_tensor_that_is_not_there)
{
    struct safetensors *file = open_file(write_aligned("{}", 1));
    const float *data = NULL;
    struct status st = { 0 };

    cr_expect_eq(safetensors_f32(file, "b.weight", two_by_three, 2, &data, &st),
                 STATUS_INVALID_ARGUMENT);
    cr_expect_not_null(strstr(st.message, "b.weight"));
    safetensors_close(file);
}

Test(safetensors, survives_a_shape_that_overflows)
{
    const size_t huge[] = { (size_t)1 << 62, 4 };
    struct safetensors *file =
        open_file(write_aligned("{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],"
                                "\"data_offsets\":[0,0]}}",
                                1));
    const float *data = NULL;
    struct status st = { 0 };

    cr_expect_eq(safetensors_f32(file, "a", huge, 2, &data, &st), STATUS_INVALID_ARGUMENT);
    safetensors_close(file);
}

Test(safetensors, refuses_what_is_not_a_safetensors_file)
{
    expect_no_file(write_file("", 0, 0), "too short");
    expect_no_file(write_file("{}", 3, 0), "header of 3 bytes");
    expect_no_file(write_file("{}", UINT64_MAX, 0), "header of");
    expect_no_file(write_file("{", 1, 1), "header, byte");
    expect_no_file(write_file("[]", 2, 1), "not a JSON object");
    expect_no_file(write_file("{\"a\":1,\"a\":2}", 13, 1), "duplicate");
    expect_no_file(".", "too short");
}

Test(safetensors, names_the_file_it_cannot_open)
{
    struct safetensors *file = NULL;
    struct status st = { 0 };

    cr_expect_eq(safetensors_open("/nowhere/model.safetensors", &file, &st), STATUS_NOT_FOUND);
    cr_expect_not_null(strstr(st.message, "/nowhere/model.safetensors"));
}

Test(safetensors, survives_a_failed_allocation)
{
    const char *path = write_aligned("{}", 1);
    struct safetensors *file = NULL;
    struct status st = { 0 };

    alloc_fault_at(1);
    cr_expect_eq(safetensors_open(path, &file, &st), STATUS_RESOURCE_EXHAUSTED);
    cr_expect(alloc_fault_clear());
    cr_expect_null(file);
}
