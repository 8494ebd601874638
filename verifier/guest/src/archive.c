#include "archive.h"

#include <stddef.h>

#include "arguments.h"
#include "descriptor.h"
#include "machine.h"
#include "task.h"

enum {
    NAME = 0, NAME_BYTES = 100,
    MODE = 100,
    UID = 108,
    GID = 116,
    SIZE = 124,
    MTIME = 136,
    CHECKSUM = 148,
    TYPEFLAG = 156,
    MAGIC = 257,
    DEVMAJOR = 329,
    DEVMINOR = 337,
    PREFIX = 345, PREFIX_BYTES = 155,
};

// Where the path splits into prefix and name: the last slash that leaves a prefix of at most 155
// bytes and a name that is not empty; 0 if the path needs no prefix; -1 if no slash will do.
static int32_t split(const uint8_t *path, uint32_t length) {
    if (length <= NAME_BYTES) return 0;
    for (uint32_t i = length - 2 < PREFIX_BYTES ? length - 2 : PREFIX_BYTES; i > 0; i--)
        if (path[i] == '/') return length - i - 1 <= NAME_BYTES ? (int32_t)i : -1;
    return -1;
}

// `digits` octal digits and a NUL.
static void octal(uint8_t *field, uint32_t digits, uint64_t value) {
    field[digits] = 0;
    while (digits-- > 0) {
        field[digits] = (uint8_t)('0' + (value & 7));
        value >>= 3;
    }
}

// The sum of all bytes, the checksum field itself taken as spaces.
static uint32_t checksum(const uint8_t header[BLOCK]) {
    uint32_t sum = 8 * ' ';
    for (int i = 0; i < BLOCK; i++)
        if (i < CHECKSUM || i >= CHECKSUM + 8) sum += header[i];
    return sum;
}

void archive_header(uint8_t header[BLOCK], const uint8_t *path, uint32_t length, bool directory, uint64_t size) {
    int32_t at = split(path, length);
    require(at >= 0);
    uint32_t prefix = (uint32_t)at, skipped = prefix ? prefix + 1 : 0;
    __builtin_memset(header, 0, BLOCK);
    __builtin_memcpy(header + NAME, path + skipped, length - skipped);
    __builtin_memcpy(header + PREFIX, path, prefix);
    octal(header + MODE, 7, directory ? 0755 : 0644);
    octal(header + UID, 7, 0);
    octal(header + GID, 7, 0);
    octal(header + SIZE, 11, size);
    octal(header + MTIME, 11, 0);
    header[TYPEFLAG] = directory ? '5' : '0';
    __builtin_memcpy(header + MAGIC, "ustar\0" "00", 8);
    octal(header + DEVMAJOR, 7, 0);
    octal(header + DEVMINOR, 7, 0);
    octal(header + CHECKSUM, 6, checksum(header));
    header[CHECKSUM + 7] = ' ';
}

// Writes the path of `name` in `dir` to the end of `path`, upwards to `top` (not included); returns
// its length, or 0 if it exceeds ARCHIVE_PATH_MAX.
static uint32_t path_below(const struct node *top, const struct node *dir, const uint8_t *name, uint32_t length,
                           uint8_t path[ARCHIVE_PATH_MAX]) {
    uint32_t start = ARCHIVE_PATH_MAX;
    for (;;) {
        if (length > start) return 0;
        start -= length;
        __builtin_memcpy(path + start, name, length);
        if (dir == top) return ARCHIVE_PATH_MAX - start;
        if (start == 0) return 0;
        path[--start] = '/';
        name = dir->as.dir.self->name;
        length = dir->as.dir.self->length;
        dir = dir->as.dir.self->dir;
    }
}

static bool fits(const uint8_t *path, uint32_t length) {
    return length <= ARCHIVE_PATH_MAX && split(path, length) >= 0;
}

bool archive_can_hold(struct node *moved, bool directory, const struct node *dir, const uint8_t *name,
                      uint32_t length) {
    const struct node *above = dir;
    while (above != tree.out && above->as.dir.self) above = above->as.dir.self->dir;
    if (!tree.out || above != tree.out) return true;

    uint8_t path[2 * ARCHIVE_PATH_MAX + 2], below[ARCHIVE_PATH_MAX];
    uint32_t base = path_below(tree.root, dir, name, length, below);
    if (base == 0) return false;
    __builtin_memcpy(path, below + ARCHIVE_PATH_MAX - base, base);
    path[base] = '/';
    if (!fits(path, base + directory)) return false;
    if (!moved) return true;
    for (struct entry *entry = NULL; (entry = tree_next(moved, entry));) {
        uint32_t rest = path_below(moved, entry->dir, entry->name, entry->length, below);
        if (rest == 0) return false;
        __builtin_memcpy(path + base + 1, below + ARCHIVE_PATH_MAX - rest, rest);
        path[base + 1 + rest] = '/';
        if (!fits(path, base + 1 + rest + is_dir(entry->node))) return false;
    }
    return true;
}

static uint64_t parse_octal(const uint8_t *field, uint32_t digits) {
    uint64_t value = 0;
    for (uint32_t i = 0; i < digits; i++) {
        require(field[i] >= '0' && field[i] <= '7');
        value = value << 3 | (uint64_t)(field[i] - '0');
    }
    return value;
}

static uint32_t text_length(const uint8_t *field, uint32_t limit) {
    uint32_t length = 0;
    while (length < limit && field[length]) length++;
    return length;
}

// The directory or file of that path, its parents made as needed.
static struct node *place_entry(const uint8_t *path, uint32_t length, bool directory) {
    struct node *dir = tree.root;
    for (uint32_t start = 0;;) {
        uint32_t end = start;
        while (end < length && path[end] != '/') end++;
        bool last = end == length;
        uint32_t part = end - start;
        const uint8_t *name = path + start;
        require(part > 0 && !(name[0] == '.' && (part == 1 || (part == 2 && name[1] == '.'))));
        struct entry *entry = tree_find(dir, name, part);
        require(!entry || (is_dir(entry->node) && (!last || directory)));
        if (!entry) {
            uint8_t type = last && !directory ? FILETYPE_REGULAR : FILETYPE_DIRECTORY;
            require(tree_create(dir, name, part, type, &entry) == E_OK);
        }
        if (last) return entry->node;
        dir = entry->node;
        start = end + 1;
    }
}

static bool equals(const uint8_t *path, uint32_t length, const char *text) {
    for (uint32_t i = 0; i < length; i++)
        if (text[i] == 0 || path[i] != (uint8_t)text[i]) return false;
    return text[length] == 0;
}

void archive_mount(void) {
    uint8_t header[BLOCK], path[ARCHIVE_PATH_MAX + 1];
    for (uint64_t at = 0;;) {
        require(at <= task.archive_length && task.archive_length - at >= BLOCK);
        require(host_read_input(STREAM_ARCHIVE, at, header, BLOCK) == BLOCK);
        at += BLOCK;
        if (header[0] == 0) return; // the first of the two zero blocks
        require(__builtin_memcmp(header + MAGIC, "ustar\0" "00", 8) == 0);
        require(parse_octal(header + CHECKSUM, 6) == checksum(header));
        require(header[TYPEFLAG] == '0' || header[TYPEFLAG] == '5');
        bool directory = header[TYPEFLAG] == '5';
        uint64_t size = parse_octal(header + SIZE, 11);
        require(size <= task.archive_length - at && !(directory && size > 0));

        uint32_t prefix = text_length(header + PREFIX, PREFIX_BYTES), name = text_length(header + NAME, NAME_BYTES);
        uint32_t length = prefix ? prefix + 1 + name : name;
        require(length <= ARCHIVE_PATH_MAX);
        __builtin_memcpy(path, header + PREFIX, prefix);
        path[prefix] = '/';
        __builtin_memcpy(path + length - name, header + NAME, name);
        if (directory) require(path[--length] == '/');

        struct content content = {.size = size, .archived = size, .archive_at = at};
        if (equals(path, length, ".outcry/args") && !directory) {
            require(size <= UINT32_MAX);
            arguments_stretch = (struct stretch){.at = at, .len = (uint32_t)size};
        } else if (equals(path, length, ".outcry/env") && !directory) {
            require(size <= UINT32_MAX);
            environment_stretch = (struct stretch){.at = at, .len = (uint32_t)size};
        } else if (equals(path, length, ".outcry/stdin") && !directory) {
            standard[0] = content;
        } else {
            struct node *node = place_entry(path, length, directory);
            if (!directory) node->as.file = content;
        }
        at += (size + BLOCK - 1) / BLOCK * BLOCK;
    }
}
