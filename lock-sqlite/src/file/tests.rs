use super::network_kind;

#[test]
fn network_file_systems_are_told_from_local_ones() {
    let network = [
        (0x6969, "NFS"),
        (0xfe53_4d42, "SMB"),
        (0xff53_4d42, "SMB"),
        (0x0102_1997, "9p"),
        (0x6573_5546, "FUSE"),
    ];
    for (magic, kind) in network {
        assert_eq!(network_kind(magic), Some(kind));
    }
    // ext4, XFS, Btrfs, tmpfs, overlayfs, ZFS, F2FS.
    for magic in [
        0xef53,
        0x5846_5342,
        0x9123_683e,
        0x0102_1994,
        0x794c_7630,
        0x2fc1_2fc1,
        0xf2f5_2010,
    ] {
        assert_eq!(network_kind(magic), None);
    }
}
