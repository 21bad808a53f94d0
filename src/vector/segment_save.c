#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "src/base/size.h"
#include "src/vector/segment_file.h"

static const char MAGIC[8] = { 'S', 'U', 'T', 'R', 'A', 'S', 'E', 'G' };

struct segment_header segment_header_of(const struct segment *segment, uint64_t mark)
{
    const struct codebook *codebook = segment->codebook;
    struct segment_header header = {
        .format = SEGMENT_FORMAT,
        .kind = codebook != NULL ? KIND_CODES : KIND_ROWS,
        .dimension = (uint32_t)segment->dimension,
        .refine = segment->refine,
        .cells = segment->cell_count,
        .codebook_version = codebook != NULL ? codebook_info(codebook)->version : 0,
        .mark = mark,
    };

    memcpy(header.magic, MAGIC, sizeof MAGIC);
    return header;
}

uint64_t segment_header_checksum(const struct segment_header *header)
{
    return XXH3_64bits(header, SEGMENT_HEADER_CHECKED_BYTES);
}

size_t segment_word_bytes(const struct segment *segment)
{
    return SEGMENT_WORD * (segment->codebook != NULL ? CODEBOOK_CODE_BYTES : segment->row_bytes);
}

/* ---- writing ---- */

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

static void section_write_zeros(struct writer *writer, size_t size)
{
    static const uint8_t zeros[SEGMENT_PAGE];

    for (; size > 0; size -= size_min(size, sizeof zeros))
        section_write(writer, zeros, size_min(size, sizeof zeros));
}

static void section_begin(struct writer *writer, struct segment_section *section)
{
    XXH3_64bits_reset(&writer->hash);
    section_write_zeros(writer, (size_t)(segment_next_page(writer->offset) - writer->offset));
    section->offset = writer->offset;
    XXH3_64bits_reset(&writer->hash);
}

static void section_end(struct writer *writer, struct segment_section *section)
{
    section->size = writer->offset - section->offset;
    section->checksum = XXH3_64bits_digest(&writer->hash);
}

/* ---- the living places of a moment, in groups as the file has them ---- */

struct saving {
    const struct segment *segment;
    struct segment_snapshot snapshot;
    struct segment_run *runs; /* [cells of the segment] */
    struct writer writer;
    uint64_t count; /* of the records written */
};

/* The next places of one cell. */
struct gathered {
    uint32_t cell;
    size_t count;
    uint32_t places[SEGMENT_GROUP]; /* 256 * number of the snapshot's entry + place in the group */
};

typedef void (*write_group)(struct saving *saving, const struct gathered *gathered);

static const struct segment_entry *entry_of(const struct saving *saving, uint32_t place)
{
    return &saving->snapshot.entries[place / SEGMENT_GROUP];
}

static void write_cell(struct saving *saving, uint32_t cell, write_group write)
{
    struct gathered gathered = { .cell = cell };
    size_t first = saving->runs[cell].first;
    size_t end = first + saving->runs[cell].count;

    for (size_t place = first * SEGMENT_GROUP; place < end * SEGMENT_GROUP; place++) {
        if (!segment_place_lives(entry_of(saving, (uint32_t)place), place % SEGMENT_GROUP))
            continue;
        gathered.places[gathered.count++] = (uint32_t)place;
        if (gathered.count == SEGMENT_GROUP) {
            write(saving, &gathered);
            gathered.count = 0;
        }
    }
    if (gathered.count > 0)
        write(saving, &gathered);
}

static void write_section(struct saving *saving, struct segment_section *section, write_group write)
{
    section_begin(&saving->writer, section);
    for (uint32_t cell = 0; cell < saving->segment->cell_count; cell++)
        write_cell(saving, cell, write);
    section_end(&saving->writer, section);
}

static void write_record(struct saving *saving, const struct gathered *gathered)
{
    struct segment_group_record record = { gathered->cell, (uint32_t)gathered->count };

    section_write(&saving->writer, &record, sizeof record);
    saving->count += gathered->count;
}

static void write_codes(struct saving *saving, const struct gathered *gathered)
{
    uint8_t codes[CODEBOOK_CODE_BYTES * SEGMENT_GROUP] = { 0 };
    size_t places = SEGMENT_WORD * segment_words_of(gathered->count);

    for (size_t i = 0; i < gathered->count; i++) {
        uint8_t code[CODEBOOK_CODE_BYTES];
        segment_entry_code(entry_of(saving, gathered->places[i]),
                           gathered->places[i] % SEGMENT_GROUP, code);
        for (size_t part = 0; part < CODEBOOK_PARTS; part++)
            codes[part * places + i] = code[part];
    }
    section_write(&saving->writer, codes, CODEBOOK_PARTS * places);
}

static void write_rows(struct saving *saving, const struct gathered *gathered)
{
    size_t places = SEGMENT_WORD * segment_words_of(gathered->count);

    for (size_t i = 0; i < gathered->count; i++)
        section_write(&saving->writer,
                      segment_group_row(saving->segment,
                                        entry_of(saving, gathered->places[i])->group,
                                        gathered->places[i] % SEGMENT_GROUP),
                      saving->segment->row_bytes);
    section_write_zeros(&saving->writer, (places - gathered->count) * saving->segment->row_bytes);
}

/* Of at most 64 places. */
static void write_word_of_ids(struct saving *saving, const uint32_t *places, size_t count)
{
    uint8_t bytes[SEGMENT_OFFSETS_BYTES + SEGMENT_WORD * (1 + SEGMENT_MAX_ID_BYTES)] = { 0 };
    size_t end = SEGMENT_OFFSETS_BYTES;

    for (size_t i = 0; i < count; i++) {
        struct segment_id id =
            segment_group_id(entry_of(saving, places[i])->group, places[i] % SEGMENT_GROUP);
        uint16_t offset = (uint16_t)end;
        memcpy(bytes + 2 * i, &offset, sizeof offset);
        bytes[end] = (uint8_t)id.length;
        memcpy(bytes + end + 1, id.data, id.length);
        end += 1 + id.length;
    }
    section_write(&saving->writer, bytes, end + end % 2);
}

static void write_ids(struct saving *saving, const struct gathered *gathered)
{
    for (size_t i = 0; i < gathered->count; i += SEGMENT_WORD)
        write_word_of_ids(saving, gathered->places + i,
                          size_min(gathered->count - i, SEGMENT_WORD));
}

static void write_header(struct writer *writer, struct segment_header *header)
{
    header->checksum = segment_header_checksum(header);
    if (fseek(writer->file, 0, SEEK_SET) != 0 && writer->error == 0)
        writer->error = errno;
    write_bytes(writer, header, sizeof *header);
}

static void write_all(struct saving *saving, uint64_t mark)
{
    struct segment_header header = segment_header_of(saving->segment, mark);
    struct segment_section *sections = header.sections;
    bool codes = saving->segment->codebook != NULL;

    write_bytes(&saving->writer, &header, sizeof header); /* to be overwritten once all is known */
    write_section(saving, &sections[SECTION_GROUPS], write_record);
    write_section(saving, &sections[SECTION_VECTORS], codes ? write_codes : write_rows);
    write_section(saving, &sections[SECTION_IDS], write_ids);
    header.groups = (uint32_t)(sections[SECTION_GROUPS].size / sizeof(struct segment_group_record));
    header.count = saving->count;
    write_header(&saving->writer, &header);
}

/* Errors may show only now. */
static void finish(struct writer *writer)
{
    if (writer->error == 0 && (fflush(writer->file) != 0 || fsync(fileno(writer->file)) != 0))
        writer->error = errno;
    if (fclose(writer->file) != 0 && writer->error == 0)
        writer->error = errno;
}

static enum status_code write_snapshot(struct saving *saving, const char *path, uint64_t mark,
                                       struct status *st)
{
    struct writer *writer = &saving->writer;

    writer->file = fopen(path, "wbe");
    if (writer->file == NULL)
        return status_set_errno(st, errno, "write");
    write_all(saving, mark);
    finish(writer);
    return writer->error == 0 ? STATUS_OK : status_set_errno(st, writer->error, "write");
}

/* ---- saving ---- */

static enum status_code write_file(struct segment *segment, const char *path, uint64_t mark,
                                   struct status *st)
{
    struct saving saving = { .segment = segment };
    uint32_t *cells = malloc(segment->cell_count * sizeof *cells);

    saving.runs = malloc(segment->cell_count * sizeof *saving.runs);
    for (uint32_t i = 0; cells != NULL && i < segment->cell_count; i++)
        cells[i] = i;
    if (saving.runs == NULL || cells == NULL)
        status_set(st, STATUS_RESOURCE_EXHAUSTED, "no memory for a snapshot");
    else if (segment_snapshot_take(segment, cells, segment->cell_count, NULL, &saving.snapshot,
                                   saving.runs, st) == STATUS_OK) {
        write_snapshot(&saving, path, mark, st);
        segment_snapshot_release(segment, &saving.snapshot);
    }
    free(saving.runs);
    free(cells);
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

/* Beside @path; malloc'd. */
static char *temporary_of(const char *path)
{
    size_t length = strlen(path);
    char *temporary = malloc(length + sizeof ".tmp");

    if (temporary != NULL) {
        memcpy(temporary, path, length);
        memcpy(temporary + length, ".tmp", sizeof ".tmp");
    }
    return temporary;
}

static enum status_code no_memory(const char *path, struct status *st)
{
    return status_set(st, STATUS_RESOURCE_EXHAUSTED, "no memory to save segment '%s'", path);
}

enum status_code segment_write(struct segment *segment, const char *path, uint64_t mark,
                               struct status *st)
{
    char *temporary = temporary_of(path);

    if (temporary == NULL)
        return no_memory(path, st);
    if (write_file(segment, temporary, mark, st) != STATUS_OK) {
        unlink(temporary);
        status_wrap(st, "save segment '%s'", path);
    }
    free(temporary);
    return st->code;
}

enum status_code segment_publish(const char *path, struct status *st)
{
    char *temporary = temporary_of(path);

    if (temporary == NULL)
        return no_memory(path, st);
    if (rename(temporary, path) != 0) {
        status_set_errno(st, errno, "rename");
        unlink(temporary);
    } else {
        sync_folder(path, st);
    }
    if (st->code != STATUS_OK)
        status_wrap(st, "save segment '%s'", path);
    free(temporary);
    return st->code;
}

enum status_code segment_save(struct segment *segment, const char *path, uint64_t mark,
                              struct status *st)
{
    if (segment_write(segment, path, mark, st) == STATUS_OK)
        segment_publish(path, st);
    return st->code;
}
