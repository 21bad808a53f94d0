#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "src/base/size.h"
#include "src/vector/refine.h"
#include "src/vector/segment_impl.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "the header is written as it lies in memory");

enum { PAGE = 4096, HEADER_CHECKED_BYTES = 120 };

enum { SECTION_VECTORS, SECTION_ID_LENGTHS, SECTION_IDS, SECTIONS };

enum { KIND_ROWS = 0, KIND_CODES = 1 };

static const char MAGIC[8] = { 'S', 'U', 'T', 'R', 'A', 'S', 'E', 'G' };

struct section {
    uint64_t offset;
    uint64_t size;
    uint64_t checksum;
};

/* Drawn in segment.h. */
struct header {
    char magic[8];
    uint32_t format;
    uint32_t kind;
    uint32_t dimension;
    uint32_t vector_bytes;
    uint64_t codebook_version;
    uint64_t store_sequence;
    uint64_t count;
    struct section sections[SECTIONS];
    uint64_t checksum;
};

_Static_assert(sizeof(struct header) == HEADER_CHECKED_BYTES + 8, "the header has no gaps");

static uint64_t codebook_version(const struct codebook *codebook)
{
    return codebook != NULL ? codebook_info(codebook)->version : 0;
}

static struct header make_header(const struct segment *segment, uint64_t count,
                                 uint64_t store_sequence)
{
    struct header header = {
        .format = SEGMENT_FORMAT,
        .kind = segment->codebook != NULL ? KIND_CODES : KIND_ROWS,
        .dimension = (uint32_t)segment->dimension,
        .vector_bytes = (uint32_t)segment->vector_bytes,
        .codebook_version = codebook_version(segment->codebook),
        .store_sequence = store_sequence,
        .count = count,
    };

    memcpy(header.magic, MAGIC, sizeof MAGIC);
    return header;
}

static uint64_t next_page(uint64_t offset)
{
    return (offset + PAGE - 1) / PAGE * PAGE;
}

/* ---- saving ---- */

struct writer {
    FILE *file;
    int error; /* errno of the first failure; asked for once, at the end */
    uint64_t offset;
    XXH3_state_t hash; /* of the section being written */
};

static void write_bytes(struct writer *writer, const void *bytes, size_t size)
{
    if (fwrite(bytes, 1, size, writer->file) != size && writer->error == 0)
        writer->error = errno;
    writer->offset += size;
}

static void section_write(struct writer *writer, const void *bytes, size_t size)
{
    XXH3_64bits_update(&writer->hash, bytes, size);
    write_bytes(writer, bytes, size);
}

static void pad_to_page(struct writer *writer)
{
    static const uint8_t zeros[PAGE];

    write_bytes(writer, zeros, (size_t)(next_page(writer->offset) - writer->offset));
}

static void section_begin(struct writer *writer, struct section *section)
{
    pad_to_page(writer);
    section->offset = writer->offset;
    XXH3_64bits_reset(&writer->hash);
}

static void section_end(struct writer *writer, struct section *section)
{
    section->size = writer->offset - section->offset;
    section->checksum = XXH3_64bits_digest(&writer->hash);
}

/* Walks over the living places of a snapshot in order of position. */
struct cursor {
    const struct segment_snapshot *snapshot;
    size_t group;
    size_t place;
};

static bool place_lives(const struct segment_snapshot *snapshot, size_t group, size_t place)
{
    return snapshot->valid[group][place / 64] >> (place % 64) & 1;
}

/* To the first living place at or behind the cursor; false at the end. */
static bool cursor_settle(struct cursor *cursor)
{
    for (; cursor->group < cursor->snapshot->view->count; cursor->group++, cursor->place = 0) {
        if (cursor->snapshot->view->groups[cursor->group] == NULL)
            continue;
        for (; cursor->place < SEGMENT_GROUP; cursor->place++)
            if (place_lives(cursor->snapshot, cursor->group, cursor->place))
                return true;
    }
    return false;
}

static const struct segment_group *cursor_group(const struct cursor *cursor)
{
    return cursor->snapshot->view->groups[cursor->group];
}

/* Copies the vector under the cursor to @place of the group @to. */
static void copy_vector(const struct segment *segment, const struct cursor *cursor, uint8_t *to,
                        size_t place)
{
    const uint8_t *from = segment_snapshot_vectors(cursor->snapshot, cursor->group);
    size_t bytes = segment->vector_bytes;

    if (segment->codebook == NULL)
        memcpy(to + place * bytes, from + cursor->place * bytes, bytes);
    for (size_t p = 0; segment->codebook != NULL && p < CODEBOOK_PARTS; p++)
        to[p * SEGMENT_GROUP + place] = from[p * SEGMENT_GROUP + cursor->place];
}

/* The next 256 living vectors, or what is left; false at the end. */
static bool gather_group(const struct segment *segment, struct cursor *cursor, uint8_t *group)
{
    size_t place = 0;

    memset(group, 0, segment_group_bytes(segment));
    for (; place < SEGMENT_GROUP && cursor_settle(cursor); place++, cursor->place++)
        copy_vector(segment, cursor, group, place);
    return place > 0;
}

static void write_id_lengths(struct writer *writer, struct cursor cursor)
{
    for (; cursor_settle(&cursor); cursor.place++)
        section_write(writer, &cursor_group(&cursor)->id_lengths[cursor.place], 1);
}

static void write_ids(struct writer *writer, struct cursor cursor)
{
    for (; cursor_settle(&cursor); cursor.place++)
        section_write(writer, cursor_group(&cursor)->ids[cursor.place],
                      cursor_group(&cursor)->id_lengths[cursor.place]);
}

static void write_vectors(const struct segment *segment, struct writer *writer,
                          struct cursor cursor, uint8_t *scratch)
{
    while (gather_group(segment, &cursor, scratch))
        section_write(writer, scratch, segment_group_bytes(segment));
}

static void write_header(struct writer *writer, struct header *header)
{
    header->checksum = XXH3_64bits(header, HEADER_CHECKED_BYTES);
    if (fseek(writer->file, 0, SEEK_SET) != 0 && writer->error == 0)
        writer->error = errno;
    write_bytes(writer, header, sizeof *header);
}

/* Errors may show only now. */
static void finish(struct writer *writer)
{
    if (writer->error == 0 && (fflush(writer->file) != 0 || fsync(fileno(writer->file)) != 0))
        writer->error = errno;
    if (fclose(writer->file) != 0 && writer->error == 0)
        writer->error = errno;
}

static void write_all(const struct segment *segment, struct writer *writer,
                      const struct segment_snapshot *snapshot, uint64_t store_sequence,
                      uint8_t *scratch)
{
    struct header header = make_header(segment, snapshot->live, store_sequence);
    struct section *sections = header.sections;
    struct cursor start = { .snapshot = snapshot };

    write_bytes(writer, &header, sizeof header); /* to be overwritten once all is known */
    section_begin(writer, &sections[SECTION_VECTORS]);
    write_vectors(segment, writer, start, scratch);
    section_end(writer, &sections[SECTION_VECTORS]);
    section_begin(writer, &sections[SECTION_ID_LENGTHS]);
    write_id_lengths(writer, start);
    section_end(writer, &sections[SECTION_ID_LENGTHS]);
    section_begin(writer, &sections[SECTION_IDS]);
    write_ids(writer, start);
    section_end(writer, &sections[SECTION_IDS]);
    write_header(writer, &header);
}

static enum status_code write_snapshot(const struct segment *segment, const char *path,
                                       const struct segment_snapshot *snapshot,
                                       uint64_t store_sequence, struct status *st)
{
    struct writer writer = { .file = fopen(path, "wbe") };
    uint8_t *scratch = malloc(segment_group_bytes(segment));

    if (writer.file == NULL)
        writer.error = errno;
    else if (scratch == NULL)
        writer.error = ENOMEM;
    else
        write_all(segment, &writer, snapshot, store_sequence, scratch);
    if (writer.file != NULL)
        finish(&writer);
    free(scratch);
    return writer.error == 0 ? STATUS_OK : status_set_errno(st, writer.error, "write");
}

static enum status_code write_file(struct segment *segment, const char *path,
                                   uint64_t store_sequence, struct status *st)
{
    struct segment_snapshot snapshot;

    if (!segment_snapshot_take(segment, &snapshot))
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "no memory for a snapshot");
    write_snapshot(segment, path, &snapshot, store_sequence, st);
    segment_snapshot_release(segment, &snapshot);
    return st->code;
}

static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (slash == NULL)
        return strdup(".");
    return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

/* Makes the rename durable. */
static enum status_code sync_folder(const char *path, struct status *st)
{
    char *folder = folder_of(path);
    int fd = folder != NULL ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

    if (fd < 0 || fsync(fd) != 0)
        status_set_errno(st, errno, "sync the folder");
    if (fd >= 0)
        close(fd);
    free(folder);
    return st->code;
}

enum status_code segment_save(struct segment *segment, const char *path, uint64_t store_sequence,
                              struct status *st)
{
    size_t length = strlen(path);
    char *temporary = malloc(length + sizeof ".tmp");

    if (temporary == NULL)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "no memory to save segment '%s'", path);
    memcpy(temporary, path, length);
    memcpy(temporary + length, ".tmp", sizeof ".tmp");
    if (write_file(segment, temporary, store_sequence, st) == STATUS_OK &&
        rename(temporary, path) != 0)
        status_set_errno(st, errno, "rename");
    if (st->code == STATUS_OK)
        sync_folder(path, st);
    else
        unlink(temporary);
    if (st->code != STATUS_OK)
        status_wrap(st, "save segment '%s'", path);
    free(temporary);
    return st->code;
}

/* ---- loading ---- */

/* A mapped file whose header was found to be sane. */
struct image {
    const uint8_t *bytes;
    size_t size;
    struct header header;
};

static enum status_code damaged(const char *what, struct status *st)
{
    return status_set(st, STATUS_DATA_LOSS, "%s", what);
}

static enum status_code check_identity(const struct header *header, const struct segment *segment,
                                       uint64_t store_sequence, struct status *st)
{
    struct header expected = make_header(segment, header->count, store_sequence);

    if (header->kind != expected.kind || header->dimension != expected.dimension ||
        header->vector_bytes != expected.vector_bytes ||
        header->codebook_version != expected.codebook_version)
        return status_set(st, STATUS_FAILED_PRECONDITION,
                          "written for another codebook or dimension");
    if (header->store_sequence != store_sequence)
        return status_set(
            st, STATUS_FAILED_PRECONDITION, "reflects the store at %llu, which is at %llu",
            (unsigned long long)header->store_sequence, (unsigned long long)store_sequence);
    return STATUS_OK;
}

static enum status_code check_header(const struct image *image, struct status *st)
{
    const struct header *header = &image->header;

    if (memcmp(header->magic, MAGIC, sizeof MAGIC) != 0)
        return damaged("not a segment", st);
    if (header->format != SEGMENT_FORMAT)
        return status_set(st, STATUS_FAILED_PRECONDITION, "format %u, this program has %d",
                          header->format, SEGMENT_FORMAT);
    if (XXH3_64bits(header, HEADER_CHECKED_BYTES) != header->checksum)
        return damaged("header checksum does not match", st);
    return STATUS_OK;
}

/* Everything about the layout follows from the count and the size of the ids. */
static enum status_code check_layout(const struct image *image, size_t group_bytes,
                                     struct status *st)
{
    const struct section *sections = image->header.sections;
    uint64_t count = image->header.count;
    uint64_t lengths_at;
    uint64_t ids_at;

    if (count > image->size) /* every id has a length byte: so the sums below cannot wrap */
        return damaged("impossible count", st);
    lengths_at = next_page(PAGE + (count + SEGMENT_GROUP - 1) / SEGMENT_GROUP * group_bytes);
    ids_at = next_page(lengths_at + count);
    if (sections[SECTION_VECTORS].offset != PAGE ||
        sections[SECTION_VECTORS].size !=
            (count + SEGMENT_GROUP - 1) / SEGMENT_GROUP * group_bytes ||
        sections[SECTION_ID_LENGTHS].offset != lengths_at ||
        sections[SECTION_ID_LENGTHS].size != count || sections[SECTION_IDS].offset != ids_at ||
        ids_at > image->size || sections[SECTION_IDS].size != image->size - ids_at)
        return damaged("impossible layout", st);
    return STATUS_OK;
}

static bool all_zero(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

/* Sections and the gaps before them, so that no byte of the file goes unseen. */
static enum status_code check_contents(const struct image *image, struct status *st)
{
    uint64_t end = sizeof image->header;

    for (size_t i = 0; i < SECTIONS; i++) {
        const struct section *section = &image->header.sections[i];
        if (!all_zero(image->bytes + end, (size_t)(section->offset - end)))
            return damaged("bytes between sections", st);
        if (XXH3_64bits(image->bytes + section->offset, section->size) != section->checksum)
            return status_set(st, STATUS_DATA_LOSS, "checksum of section %zu does not match", i);
        end = section->offset + section->size;
    }
    return STATUS_OK;
}

static const uint8_t *section_bytes(const struct image *image, size_t section)
{
    return image->bytes + image->header.sections[section].offset;
}

/* The ids of one group's places; *@ids and *@left move on. */
static enum status_code adopt_ids(struct segment *segment, const uint8_t *lengths, size_t places,
                                  const uint8_t **ids, uint64_t *left, struct status *st)
{
    for (size_t i = 0; i < places; i++) {
        if (lengths[i] == 0 || lengths[i] > *left)
            return damaged("impossible id length", st);
        if (!segment_adopt_id(segment, *ids, lengths[i]))
            return damaged("an id stands twice", st);
        *ids += lengths[i];
        *left -= lengths[i];
    }
    return STATUS_OK;
}

static enum status_code check_rows(const struct segment *segment, const uint8_t *rows, size_t count,
                                   struct status *st)
{
    size_t bytes = segment->vector_bytes;

    for (size_t i = 0; segment->codebook == NULL && i < count; i++)
        if (!refine_row_valid(rows + i * bytes, bytes, segment->dimension))
            return damaged("a row without a finite scale", st);
    return STATUS_OK;
}

/* A full group stays in the mapping; one that will be appended to is copied. */
static struct segment_group *adopt_vectors(struct segment *segment, uint8_t *mapped, size_t places)
{
    struct segment_group *group;

    if (places == SEGMENT_GROUP)
        return segment_add_group(segment, mapped);
    group = segment_add_group(segment, NULL);
    if (group != NULL)
        memcpy(group->vectors, mapped, segment_group_bytes(segment));
    return group;
}

static enum status_code adopt_groups(struct segment *segment, const struct image *image,
                                     struct status *st)
{
    size_t count = (size_t)image->header.count;
    const uint8_t *lengths = section_bytes(image, SECTION_ID_LENGTHS);
    const uint8_t *ids = section_bytes(image, SECTION_IDS);
    uint64_t left = image->header.sections[SECTION_IDS].size;
    uint8_t *vectors = (uint8_t *)segment->mapping + image->header.sections[SECTION_VECTORS].offset;

    if (!id_map_reserve(&segment->map, count))
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "no memory for %zu ids", count);
    for (size_t i = 0; i < count; i += SEGMENT_GROUP) {
        size_t places = size_min(count - i, SEGMENT_GROUP);
        if (check_rows(segment, vectors, places, st) != STATUS_OK)
            return st->code;
        if (adopt_vectors(segment, vectors, places) == NULL)
            return status_set(st, STATUS_RESOURCE_EXHAUSTED, "no memory for a group");
        if (adopt_ids(segment, lengths + i, places, &ids, &left, st) != STATUS_OK)
            return st->code;
        vectors += segment_group_bytes(segment);
    }
    return left == 0 ? STATUS_OK : damaged("ids are left over", st);
}

static enum status_code map_file(const char *path, struct segment *segment, struct status *st)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    void *mapping = MAP_FAILED;

    if (fd < 0)
        return status_set_errno(st, errno, "open");
    if (fstat(fd, &info) != 0)
        status_set_errno(st, errno, "stat");
    else if (info.st_size < PAGE)
        damaged("cut short", st);
    else
        mapping = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (st->code == STATUS_OK && mapping == MAP_FAILED)
        status_set_errno(st, errno, "map");
    close(fd);
    if (st->code != STATUS_OK)
        return st->code;
    segment->mapping = mapping;
    segment->mapping_bytes = (size_t)info.st_size;
    return STATUS_OK;
}

static enum status_code load(struct segment *segment, const char *path, uint64_t store_sequence,
                             struct status *st)
{
    struct image image;

    if (map_file(path, segment, st) != STATUS_OK)
        return st->code;
    image.bytes = segment->mapping;
    image.size = segment->mapping_bytes;
    memcpy(&image.header, image.bytes, sizeof image.header);
    if (check_header(&image, st) == STATUS_OK &&
        check_identity(&image.header, segment, store_sequence, st) == STATUS_OK &&
        check_layout(&image, segment_group_bytes(segment), st) == STATUS_OK &&
        check_contents(&image, st) == STATUS_OK)
        adopt_groups(segment, &image, st);
    return st->code;
}

enum status_code segment_load(const char *path, size_t d, struct codebook *codebook,
                              uint64_t expected_store_sequence, struct segment **ret,
                              struct status *st)
{
    struct segment *segment = segment_new(d, codebook);

    if (segment == NULL)
        status_set(st, STATUS_RESOURCE_EXHAUSTED, "no memory");
    else
        load(segment, path, expected_store_sequence, st);
    if (st->code != STATUS_OK) {
        segment_unref(segment);
        return status_wrap(st, "load segment '%s'", path);
    }
    *ret = segment;
    return STATUS_OK;
}
