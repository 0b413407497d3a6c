// What may be handed to a component and kept of it: texts that are cut, room that is counted.

package core

import (
	"strings"
	"testing"
)

func TestTextsAreCutWhereACharacterBegins(t *testing.T) {
	long := strings.Repeat("ä", 600)
	if found := Shortened(long); len(found) != 1023 || !strings.HasSuffix(found, "ä...") {
		t.Errorf("%d bytes: %q", len(found), found[len(found)-8:])
	}
	if found := Shortened("a\xffb"); found != "a\uFFFDb" {
		t.Errorf("%q", found)
	}
}

func TestTheLargestSnapshotHasRoomBesideAll(t *testing.T) {
	small, policies := claimOf(1_000, 0), []*Policy{{}, {}}
	var r room
	if found := r.with(small); found != 1_000+overheadBytes+1_250 {
		t.Errorf("%d", found)
	}
	large := r.add(policies[0], 100_000, 0)
	if r.add(policies[0], 100_000, 125_000) != large {
		t.Error("it has room for that")
	}
	if found := r.with(small); found != 201_000+3*overheadBytes+125_000 {
		t.Errorf("%d", found)
	}
	r.remove(large)
	if found := r.with(claimOf(1_000, 200_000)); found != 101_000+2*overheadBytes+200_000 {
		t.Errorf("%d", found)
	}
	r.remove(large)
	if found := r.with(small); found != 1_000+overheadBytes+1_250 {
		t.Errorf("%d", found)
	}
	if small.fit(0) != 0 || small.fit(1_250+3*(1_000+overheadBytes)) != 3 {
		t.Error("as many as fit")
	}
}
