// There are no symbolic links, so a path resolves in one walk and ".." is the parent by definition.
#include "path.h"

#include <stddef.h>

#include "descriptor.h"

// Whether the bytes are UTF-8 (Unicode 16, table 3-7) without NUL, as preview 1 demands.
static wasi_errno check_text(const uint8_t *s, uint32_t len) {
    for (uint32_t i = 0; i < len;) {
        uint8_t lead = s[i++];
        if (lead == 0) return E_INVAL;
        if (lead < 0x80) continue;
        uint32_t more = lead < 0xC2 ? 0 : lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : lead < 0xF5 ? 3 : 0;
        if (more == 0 || more > len - i) return E_ILSEQ;
        uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
        uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
        if (s[i] < low || s[i] > high) return E_ILSEQ;
        for (uint32_t j = 1; j < more; j++)
            if ((s[i + j] & 0xC0) != 0x80) return E_ILSEQ;
        i += more;
    }
    return E_OK;
}

wasi_errno path_resolve(uint32_t fd, user_addr path, uint32_t len, struct place *place) {
    struct node *dir;
    wasi_errno error = descriptor_directory(fd, &dir);
    if (error) return error;
    if (!user_holds(path, len)) return E_FAULT;
    if (len == 0) return E_NOENT;
    if (len > PATH_BYTES_MAX) return E_NAMETOOLONG;
    uint8_t *s = place->bytes;
    user_read(s, path, len);
    if ((error = check_text(s, len))) return error;
    if (s[0] == '/') return E_NOTCAPABLE;

    place->dir = place->node = dir;
    place->entry = NULL;
    place->name = s;
    place->length = 0;
    place->slash = s[len - 1] == '/';
    uint32_t depth = 0; // below the directory where the walk began
    for (uint32_t i = 0; i < len;) {
        if (s[i] == '/') {
            i++;
            continue;
        }
        uint32_t start = i;
        while (i < len && s[i] != '/') i++;
        uint32_t length = i - start;
        // The component before this one must be a directory that exists.
        if (!place->node) return E_NOENT;
        if (!is_dir(place->node)) return E_NOTDIR;
        place->dir = place->node;
        place->entry = NULL;
        place->length = 0;
        if (length == 1 && s[start] == '.') continue;
        if (length == 2 && s[start] == '.' && s[start + 1] == '.') {
            if (depth-- == 0) return E_NOTCAPABLE;
            if (!place->dir->as.dir.self) return E_NOENT;
            place->dir = place->node = place->dir->as.dir.self->dir;
            continue;
        }
        if (length > NAME_MAX) return E_NAMETOOLONG;
        depth++;
        place->name = s + start;
        place->length = length;
        place->entry = tree_find(place->dir, place->name, length);
        place->node = place->entry ? place->entry->node : NULL;
    }
    if (place->slash && place->node && !is_dir(place->node)) return E_NOTDIR;
    return E_OK;
}
