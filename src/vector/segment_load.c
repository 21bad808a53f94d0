#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "src/base/size.h"
#include "src/vector/refine.h"
#include "src/vector/segment_file.h"

/* A mapped file; of its sections only what was checked may be followed. */
struct image {
    const uint8_t *bytes;
    size_t size;
    struct segment_header header;
};

static enum status_code damaged(const char *what, struct status *st)
{
    return status_set(st, STATUS_DATA_LOSS, "%s", what);
}

static const uint8_t *section_bytes(const struct image *image, size_t section)
{
    return image->bytes + image->header.sections[section].offset;
}

static struct segment_group_record record_at(const struct image *image, size_t i)
{
    struct segment_group_record record;

    memcpy(&record, section_bytes(image, SECTION_GROUPS) + i * sizeof record, sizeof record);
    return record;
}

/* ---- checking ---- */

static enum status_code check_header(const struct image *image, struct status *st)
{
    const struct segment_header *header = &image->header;

    if (memcmp(header->magic, "SUTRASEG", sizeof header->magic) != 0)
        return damaged("not a segment", st);
    if (header->format != SEGMENT_FORMAT)
        return status_set(st, STATUS_FAILED_PRECONDITION, "format %u, this program has %d",
                          header->format, SEGMENT_FORMAT);
    if (segment_header_checksum(header) != header->checksum)
        return damaged("header checksum does not match", st);
    return STATUS_OK;
}

static enum status_code check_identity(const struct segment_header *header,
                                       const struct segment *segment, struct status *st)
{
    struct segment_header expected = segment_header_of(segment, header->mark);

    if (header->kind != expected.kind || header->dimension != expected.dimension ||
        header->refine != expected.refine || header->cells != expected.cells ||
        header->codebook_version != expected.codebook_version)
        return status_set(st, STATUS_FAILED_PRECONDITION,
                          "written for another codebook, dimension or refinement");
    return STATUS_OK;
}

static bool all_zero(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

/* That it lies on the page behind *@end, within the file, and is whole, the gap included. */
static enum status_code check_section(const struct image *image, size_t number, uint64_t size,
                                      uint64_t *end, struct status *st)
{
    const struct segment_section *section = &image->header.sections[number];

    if (section->offset != segment_next_page(*end) || section->offset > image->size ||
        section->size != size || size > image->size - section->offset)
        return damaged("impossible layout", st);
    if (!all_zero(image->bytes + *end, (size_t)(section->offset - *end)))
        return damaged("bytes between sections", st);
    if (XXH3_64bits(image->bytes + section->offset, size) != section->checksum)
        return status_set(st, STATUS_DATA_LOSS, "checksum of section %zu does not match", number);
    *end = section->offset + size;
    return STATUS_OK;
}

static bool record_follows(struct segment_group_record record, struct segment_group_record previous)
{
    return record.cell > previous.cell ||
           (record.cell == previous.cell && previous.places == SEGMENT_GROUP);
}

/* The records of the groups, and how many words they have in all. */
static enum status_code check_records(const struct image *image, uint64_t *ret_words,
                                      struct status *st)
{
    struct segment_group_record previous = { .places = SEGMENT_GROUP };
    uint64_t places = 0;

    *ret_words = 0;
    for (size_t i = 0; i < image->header.groups; i++) {
        struct segment_group_record record = record_at(image, i);
        if (record.cell >= image->header.cells || record.places < 1 ||
            record.places > SEGMENT_GROUP || !record_follows(record, previous))
            return damaged("impossible group", st);
        places += record.places;
        *ret_words += segment_words_of(record.places);
        previous = record;
    }
    return places == image->header.count ? STATUS_OK : damaged("impossible count", st);
}

static enum status_code check_contents(const struct image *image, const struct segment *segment,
                                       struct status *st)
{
    uint64_t records = image->header.groups * sizeof(struct segment_group_record);
    uint64_t end = sizeof image->header;
    uint64_t words = 0;
    uint64_t ids_at;

    if (check_section(image, SECTION_GROUPS, records, &end, st) != STATUS_OK ||
        check_records(image, &words, st) != STATUS_OK ||
        check_section(image, SECTION_VECTORS, words * segment_word_bytes(segment), &end, st) !=
            STATUS_OK)
        return st->code;
    ids_at = segment_next_page(end);
    if (ids_at > image->size)
        return damaged("impossible layout", st);
    return check_section(image, SECTION_IDS, image->size - ids_at, &end, st);
}

/* ---- adopting ---- */

/* What is still to be adopted. */
struct rest {
    const uint8_t *vectors;
    const uint8_t *ids;
    size_t ids_left;
};

static uint16_t offset_at(const struct rest *rest, size_t i)
{
    uint16_t offset;

    memcpy(&offset, rest->ids + 2 * i, sizeof offset);
    return offset;
}

/* That the ids of @places places, at most 64, are as they should; their size. */
static enum status_code check_ids(const struct rest *rest, size_t places, size_t *ret_size,
                                  struct status *st)
{
    size_t end = SEGMENT_OFFSETS_BYTES;

    if (rest->ids_left < end)
        return damaged("ids are missing", st);
    for (size_t i = 0; i < SEGMENT_WORD; i++) {
        if (offset_at(rest, i) != (i < places ? end : 0))
            return damaged("impossible id offset", st);
        if (i >= places)
            continue;
        if (end >= rest->ids_left || rest->ids[end] == 0 || rest->ids[end] >= rest->ids_left - end)
            return damaged("impossible id length", st);
        end += 1 + (size_t)rest->ids[end];
    }
    if (end % 2 == 1 && (end == rest->ids_left || rest->ids[end] != 0))
        return damaged("bytes behind ids", st);
    *ret_size = end;
    return STATUS_OK;
}

static enum status_code adopt_place(struct segment *segment, struct segment_entry *entry,
                                    uint32_t place, struct status *st)
{
    struct segment_id id = segment_group_id(entry->group, place);
    uint64_t hash = id_map_hash(id.data, id.length);

    if (!id_map_prepare(&segment->map, hash, segment_hashes, segment))
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "no memory for an id");
    if (segment_position(segment, hash, id) != ID_MAP_NONE)
        return damaged("an id stands twice", st);
    id_map_insert(&segment->map, hash, entry->index * SEGMENT_GROUP + place);
    segment_note_id(&entry->group->words[place / SEGMENT_WORD], place, id.length);
    segment_count_place(segment, entry, place);
    segment->ids_ever++;
    segment->id_bytes_ever += id.length;
    return STATUS_OK;
}

static enum status_code adopt_word(struct segment *segment, struct segment_entry *entry,
                                   size_t word, size_t places, struct rest *rest, struct status *st)
{
    struct segment_group *group = entry->group;
    size_t size = 0;

    if (check_ids(rest, places, &size, st) != STATUS_OK)
        return st->code;
    atomic_store(&group->words[word].ids, rest->ids);
    group->ids_used = group->ids_capacity = (uint32_t)size;
    entry->used = (uint16_t)(SEGMENT_WORD * word + places);
    rest->ids += size + size % 2;
    rest->ids_left -= size + size % 2;
    for (size_t i = 0; i < places; i++)
        if (adopt_place(segment, entry, (uint32_t)(SEGMENT_WORD * word + i), st) != STATUS_OK)
            return st->code;
    return STATUS_OK;
}

static enum status_code adopt_rows(struct segment *segment, struct segment_group *group,
                                   const uint8_t *rows, size_t places, struct status *st)
{
    for (size_t place = 0; place < places; place++) {
        const uint8_t *row = rows + place * segment->row_bytes;
        if (!refine_row_valid(segment->refine, row, segment->row_bytes, segment->dimension))
            return damaged("a row that is not finite", st);
        if (place % SEGMENT_WORD == 0)
            atomic_store(&group->words[place / SEGMENT_WORD].rows, row);
        atomic_fetch_or(&group->words[place / SEGMENT_WORD].present,
                        (uint64_t)1 << (place % SEGMENT_WORD));
    }
    segment->rows += places;
    return STATUS_OK;
}

/* Codes, rows and ids stay in the mapping. */
static enum status_code adopt_group(struct segment *segment, struct segment_group_record record,
                                    struct rest *rest, struct status *st)
{
    size_t words = segment_words_of(record.places);
    bool coded = segment->codebook != NULL;
    uint32_t index = segment_add_group(segment, record.cell, words, coded ? rest->vectors : NULL);
    struct segment_entry *entry;

    if (index == SEGMENT_NONE)
        return status_set(st, STATUS_RESOURCE_EXHAUSTED, "no memory for a group");
    entry = &segment->directory[index];
    if (!coded && adopt_rows(segment, entry->group, rest->vectors, record.places, st) != STATUS_OK)
        return st->code;
    rest->vectors += words * segment_word_bytes(segment);
    for (size_t word = 0; word < words; word++)
        if (adopt_word(segment, entry, word,
                       size_min(record.places - word * SEGMENT_WORD, SEGMENT_WORD), rest,
                       st) != STATUS_OK)
            return st->code;
    return STATUS_OK;
}

static enum status_code adopt_groups(struct segment *segment, const struct image *image,
                                     struct status *st)
{
    struct rest rest = {
        .vectors = section_bytes(image, SECTION_VECTORS),
        .ids = section_bytes(image, SECTION_IDS),
        .ids_left = (size_t)image->header.sections[SECTION_IDS].size,
    };

    for (size_t i = 0; i < image->header.groups; i++)
        if (adopt_group(segment, record_at(image, i), &rest, st) != STATUS_OK)
            return st->code;
    return rest.ids_left == 0 ? STATUS_OK : damaged("ids are left over", st);
}

/* ---- loading ---- */

static enum status_code map_file(const char *path, struct segment *segment, struct status *st)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    void *mapping = MAP_FAILED;

    if (fd < 0)
        return status_set_errno(st, errno, "open");
    if (fstat(fd, &info) != 0)
        status_set_errno(st, errno, "stat");
    else if (info.st_size < SEGMENT_PAGE)
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

static enum status_code load(struct segment *segment, const char *path, uint64_t *ret_mark,
                             struct status *st)
{
    struct image image;

    if (map_file(path, segment, st) != STATUS_OK)
        return st->code;
    image.bytes = segment->mapping;
    image.size = segment->mapping_bytes;
    memcpy(&image.header, image.bytes, sizeof image.header);
    if (check_header(&image, st) == STATUS_OK &&
        check_identity(&image.header, segment, st) == STATUS_OK &&
        check_contents(&image, segment, st) == STATUS_OK &&
        adopt_groups(segment, &image, st) == STATUS_OK)
        *ret_mark = image.header.mark;
    return st->code;
}

enum status_code segment_load(const char *path, const struct segment_options *options,
                              struct segment **ret, uint64_t *ret_mark, struct status *st)
{
    struct segment *segment = segment_new(options);

    if (segment == NULL)
        status_set(st, STATUS_RESOURCE_EXHAUSTED, "no memory");
    else
        load(segment, path, ret_mark, st);
    if (st->code != STATUS_OK) {
        segment_unref(segment);
        return status_wrap(st, "load segment '%s'", path);
    }
    *ret = segment;
    return STATUS_OK;
}
