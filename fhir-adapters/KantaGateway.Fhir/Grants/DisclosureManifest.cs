using System.Buffers.Binary;
using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;

namespace KantaGateway.Fhir.Grants;

/// <summary>One resource version that an answer discloses or a write has stored.</summary>
/// <param name="Type">FHIR resource type.</param>
/// <param name="Id">Logical id, UUID.</param>
/// <param name="VersionId">Version id, UUID.</param>
/// <param name="Controller">OID of its data controller.</param>
/// <param name="Written">The request itself stored this version; false: it was there before and is disclosed.</param>
/// <param name="Register">Which of the controller's registers it is in, as <see cref="Grants.Register"/> names it: logs are kept for each (Act 703/2023 §10).</param>
public readonly record struct ManifestItem(string Type, string Id, string VersionId, string Controller, bool Written = false, string Register = Register.Patient);

/// <summary>
/// What the body of a repository answer really contains, so that the audit records the disclosure and not the question.
/// Travels in a header ahead of the body: the entry must be durable before the first byte leaves (law 1).
/// </summary>
/// <param name="Items">In the order of the body.</param>
/// <param name="Digest">SHA-256 of the body, 32 bytes.</param>
public sealed record DisclosureManifest(IReadOnlyList<ManifestItem> Items, byte[] Digest)
{
    private const byte Format = 4;
    private const int ItemSize = 37;

    /// <summary>Of a write: where it has left the compartment that it wrote to, and the directory where it wrote there.</summary>
    public IReadOnlyList<WrittenHead> Heads { get; init; } = [];

    public static DisclosureManifest Of(IReadOnlyList<ManifestItem> items, ReadOnlySpan<byte> body) => new(items, SHA256.HashData(body));

    /// <summary>Base64url: format, digest, heads (25 bytes each), tables of types and of controllers with registers, then 37 bytes an item.</summary>
    public string Encode()
    {
        using var buffer = new MemoryStream(64 + Items.Count * ItemSize);
        using var writer = new BinaryWriter(buffer, Encoding.UTF8);
        writer.Write(Format);
        writer.Write(Digest);
        Span<byte> uuid = stackalloc byte[16];
        writer.Write((byte)Heads.Count);
        foreach (var (isDirectory, head) in Heads)
        {
            writer.Write(isDirectory);
            writer.Write(head.Sequence);
            BinaryPrimitives.WriteUInt128BigEndian(uuid, head.Digest);
            writer.Write(uuid);
        }
        var types = Table(writer, Items.Select(i => i.Type), t => t);
        var registers = Table(writer, Items.Select(i => (i.Controller, i.Register)), r => Register.Of(r.Controller, r.Register));
        writer.Write7BitEncodedInt(Items.Count);
        foreach (var item in Items)
        {
            writer.Write(item.Written);
            writer.Write((ushort)types[item.Type]);
            writer.Write((ushort)registers[(item.Controller, item.Register)]);
            Guid.ParseExact(item.Id, "D").TryWriteBytes(uuid, bigEndian: true, out _);
            writer.Write(uuid);
            Guid.ParseExact(item.VersionId, "D").TryWriteBytes(uuid, bigEndian: true, out _);
            writer.Write(uuid);
        }
        writer.Flush();
        return Base64Url.EncodeToString(buffer.GetBuffer().AsSpan(0, (int)buffer.Length));
    }

    /// <summary>Reads what <see cref="Encode"/> wrote; null for anything else.</summary>
    public static DisclosureManifest? Decode(string? text)
    {
        if (string.IsNullOrEmpty(text) || !Base64Url.IsValid(text))
            return null;
        try
        {
            using var reader = new BinaryReader(new MemoryStream(Base64Url.DecodeFromChars(text)), Encoding.UTF8);
            if (reader.ReadByte() != Format || reader.ReadBytes(32) is not { Length: 32 } digest)
                return null;
            var heads = new WrittenHead[reader.ReadByte()];
            for (var i = 0; i < heads.Length; i++)
                heads[i] = new(ReadFlag(reader), new(reader.ReadInt64(), BinaryPrimitives.ReadUInt128BigEndian(reader.ReadBytes(16))));
            var types = ReadTable(reader);
            var registers = ReadTable(reader).Select(Split).ToArray();
            var count = reader.Read7BitEncodedInt();
            if (count != (reader.BaseStream.Length - reader.BaseStream.Position) / ItemSize)
                return null;
            var items = new ManifestItem[count];
            for (var i = 0; i < items.Length; i++)
            {
                var written = ReadFlag(reader);
                var type = types[reader.ReadUInt16()];
                var (controller, register) = registers[reader.ReadUInt16()];
                var id = new Guid(reader.ReadBytes(16), bigEndian: true).ToString("D");
                items[i] = new(type, id, new Guid(reader.ReadBytes(16), bigEndian: true).ToString("D"), controller, written, register);
            }
            return new(items, digest) { Heads = heads };
        }
        catch (Exception e) when (e is IOException or ArgumentException or IndexOutOfRangeException or FormatException or OverflowException or OutOfMemoryException)
        {
            return null;
        }
    }

    private static bool ReadFlag(BinaryReader reader) => reader.ReadByte() switch { 0 => false, 1 => true, _ => throw new FormatException() };

    // An OID has no space in it.
    private static (string Controller, string Register) Split(string of) =>
        of.IndexOf(' ') is >= 0 and var space ? (of[..space], of[(space + 1)..]) : throw new FormatException();

    private static Dictionary<T, int> Table<T>(BinaryWriter writer, IEnumerable<T> values, Func<T, string> name) where T : notnull
    {
        var table = new Dictionary<T, int>();
        foreach (var value in values)
            table.TryAdd(value, table.Count);
        writer.Write7BitEncodedInt(table.Count);
        foreach (var value in table.Keys)
            writer.Write(name(value));
        return table;
    }

    private static string[] ReadTable(BinaryReader reader)
    {
        var count = reader.Read7BitEncodedInt();
        if (count > reader.BaseStream.Length - reader.BaseStream.Position)
            throw new EndOfStreamException();
        var table = new string[count];
        for (var i = 0; i < table.Length; i++)
            table[i] = reader.ReadString();
        return table;
    }
}
