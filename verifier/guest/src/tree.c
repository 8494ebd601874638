// One hash table holds all entries, keyed by directory and name, so that the hundreds of lookups of
// an interpreter's start cost a probe each; lists keep each directory's order.
#include "tree.h"

#include <stddef.h>

#include "archive.h"
#include "clock.h"
#include "heap.h"
#include "machine.h"

enum { BUCKETS_MIN = 256, LINKS_MAX = 1 << 16 };

struct tree tree;
static struct entry **buckets;
static uint32_t bucket_count, entry_count;
static uint64_t next_number = 1;

// FNV-1a over the directory's number and the name.
static uint32_t hash_of(const struct node *dir, const uint8_t *name, uint32_t length) {
    uint32_t hash = 2166136261u ^ (uint32_t)dir->number * 2654435761u;
    for (uint32_t i = 0; i < length; i++) hash = (hash ^ name[i]) * 16777619u;
    return hash ^ hash >> 15;
}

static bool same(const uint8_t *a, const uint8_t *b, uint32_t length) {
    for (uint32_t i = 0; i < length; i++)
        if (a[i] != b[i]) return false;
    return true;
}

// Doubles the table when it is full. Without memory for that the old one goes on, only slower.
static bool make_bucket(void) {
    if (entry_count < bucket_count) return true;
    uint32_t count = bucket_count ? bucket_count * 2 : BUCKETS_MIN;
    struct entry **grown = heap_take(count * sizeof *grown);
    if (!grown) return bucket_count > 0;
    __builtin_memset(grown, 0, count * sizeof *grown);
    for (uint32_t i = 0; i < bucket_count; i++) {
        for (struct entry *entry = buckets[i], *next; entry; entry = next) {
            next = entry->next_in_bucket;
            struct entry **bucket = &grown[entry->hash & (count - 1)];
            entry->next_in_bucket = *bucket;
            *bucket = entry;
        }
    }
    heap_give(buckets, bucket_count * sizeof *buckets);
    buckets = grown;
    bucket_count = count;
    return true;
}

struct entry *tree_find(const struct node *dir, const uint8_t *name, uint32_t length) {
    if (!bucket_count) return NULL;
    uint32_t hash = hash_of(dir, name, length);
    struct entry *entry = buckets[hash & (bucket_count - 1)];
    while (entry && !(entry->hash == hash && entry->dir == dir && entry->length == length &&
                      same(entry->name, name, length)))
        entry = entry->next_in_bucket;
    return entry;
}

static struct node *new_node(uint8_t type) {
    struct node *node = heap_take(sizeof *node);
    if (!node) return NULL;
    *node = (struct node){.number = next_number++, .type = type};
    node->atim = node->mtim = node->ctim = clock_now_ns();
    if (type == FILETYPE_DIRECTORY) node->as.dir.next_serial = SERIAL_FIRST;
    return node;
}

static void touch(struct node *node) { node->mtim = node->ctim = clock_now_ns(); }

static struct entry *new_entry(const uint8_t *name, uint32_t length) {
    struct entry *entry = make_bucket() ? heap_take(sizeof *entry + length) : NULL;
    if (!entry) return NULL;
    *entry = (struct entry){.length = length};
    __builtin_memcpy(entry->name, name, length);
    return entry;
}

static void attach(struct entry *entry, struct node *dir, struct node *node) {
    entry->dir = dir;
    entry->node = node;
    entry->serial = dir->as.dir.next_serial++;
    entry->hash = hash_of(dir, entry->name, entry->length);
    struct entry **bucket = &buckets[entry->hash & (bucket_count - 1)];
    entry->next_in_bucket = *bucket;
    *bucket = entry;
    entry->before = dir->as.dir.last;
    entry->after = NULL;
    *(entry->before ? &entry->before->after : &dir->as.dir.first) = entry;
    dir->as.dir.last = entry;
    node->links++;
    if (is_dir(node)) node->as.dir.self = entry;
    entry_count++;
    touch(dir);
    node->ctim = clock_now_ns();
}

// Takes the entry out of its directory and frees it; its node stays.
static void detach(struct entry *entry) {
    struct node *dir = entry->dir, *node = entry->node;
    struct entry **at = &buckets[entry->hash & (bucket_count - 1)];
    while (*at != entry) at = &(*at)->next_in_bucket;
    *at = entry->next_in_bucket;
    *(entry->before ? &entry->before->after : &dir->as.dir.first) = entry->after;
    *(entry->after ? &entry->after->before : &dir->as.dir.last) = entry->before;
    dir->as.dir.removals++;
    node->links--;
    if (is_dir(node)) node->as.dir.self = NULL;
    entry_count--;
    touch(dir);
    node->ctim = clock_now_ns();
    heap_give(entry, sizeof *entry + entry->length);
}

void tree_release(struct node *node) {
    if (node->links > 0 || node->opens > 0 || node == tree.root) return;
    if (!is_dir(node)) content_free(&node->as.file);
    heap_give(node, sizeof *node);
}

// A directory that was removed while somebody holds it takes no new entries.
static bool alive(const struct node *dir) { return dir->links > 0 || dir == tree.root; }

wasi_errno tree_create(struct node *dir, const uint8_t *name, uint32_t length, uint8_t type, struct entry **created) {
    if (!alive(dir)) return E_NOENT;
    if (!archive_can_hold(NULL, type == FILETYPE_DIRECTORY, dir, name, length)) return E_NAMETOOLONG;
    struct entry *entry = new_entry(name, length);
    if (!entry) return E_NOSPC;
    struct node *node = new_node(type);
    if (!node) {
        heap_give(entry, sizeof *entry + length);
        return E_NOSPC;
    }
    attach(entry, dir, node);
    *created = entry;
    return E_OK;
}

wasi_errno tree_link(struct node *dir, const uint8_t *name, uint32_t length, struct node *file) {
    if (!alive(dir)) return E_NOENT;
    if (file->links >= LINKS_MAX) return E_MLINK;
    if (!archive_can_hold(NULL, false, dir, name, length)) return E_NAMETOOLONG;
    struct entry *entry = new_entry(name, length);
    if (!entry) return E_NOSPC;
    attach(entry, dir, file);
    return E_OK;
}

void tree_remove(struct entry *entry) {
    struct node *node = entry->node;
    detach(entry);
    tree_release(node);
}

wasi_errno tree_move(struct entry *entry, struct node *dir, const uint8_t *name, uint32_t length,
                     struct entry *replaced) {
    if (!alive(dir)) return E_NOENT;
    struct node *node = entry->node;
    if (!archive_can_hold(is_dir(node) ? node : NULL, is_dir(node), dir, name, length)) return E_NAMETOOLONG;
    struct entry *moved = new_entry(name, length);
    if (!moved) return E_NOSPC;
    if (replaced) tree_remove(replaced);
    attach(moved, dir, node); // the new name before the old one goes, so that the node lives
    detach(entry);
    if (is_dir(node)) node->as.dir.self = moved;
    return E_OK;
}

struct entry *tree_next(const struct node *top, struct entry *entry) {
    if (!entry) return top->as.dir.first;
    if (is_dir(entry->node) && entry->node->as.dir.first) return entry->node->as.dir.first;
    while (!entry->after) {
        if (entry->dir == top) return NULL;
        entry = entry->dir->as.dir.self;
    }
    return entry->after;
}

static struct node *fixed_directory(const char *name, uint32_t length) {
    struct entry *entry;
    require(tree_create(tree.root, (const uint8_t *)name, length, FILETYPE_DIRECTORY, &entry) == E_OK);
    entry->node->fixed = true;
    return entry->node;
}

void tree_start(void) {
    tree.root = new_node(FILETYPE_DIRECTORY);
    require(tree.root != NULL);
    tree.root->fixed = true;
    fixed_directory("in", 2);
    tree.out = fixed_directory("out", 3);
    fixed_directory("tmp", 3);
}
