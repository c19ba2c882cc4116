using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text;
using NSec.Cryptography;

namespace KantaGateway.Audit;

/// <summary>An Ed25519 public key under a name, by which signature lines of notes are known (C2SP signed-note).</summary>
public abstract class NoteKey
{
    private readonly PublicKey _key;
    private readonly byte _type;

    /// <param name="type">Signature type identifier byte.</param>
    private protected NoteKey(byte type, string name, ReadOnlySpan<byte> publicKey)
    {
        if (name.Length == 0 || name.Any(c => char.IsWhiteSpace(c) || char.IsControl(c) || c == '+'))
            throw new FormatException("A note key name is not empty and has no spaces and no plus sign.");
        if (!NSec.Cryptography.PublicKey.TryImport(SignatureAlgorithm.Ed25519, publicKey, KeyBlobFormat.RawPublicKey, out var key) || key is null)
            throw new FormatException("Not an Ed25519 public key.");
        (_type, _key, Name, PublicKey) = (type, key, name, publicKey.ToArray());
        KeyId = BinaryPrimitives.ReadUInt32BigEndian(SHA256.HashData([.. Encoding.UTF8.GetBytes(name), (byte)'\n', type, .. publicKey]));
    }

    public string Name { get; }

    /// <summary>32 bytes.</summary>
    public byte[] PublicKey { get; }

    /// <summary>First four bytes of SHA-256(name, newline, type, public key).</summary>
    public uint KeyId { get; }

    /// <summary>The verifier key (vkey): <c>name+id+base64</c>.</summary>
    public override string ToString() => $"{Name}+{KeyId:x8}+{Convert.ToBase64String([_type, .. PublicKey])}";

    private protected static T? Read<T>(string? vkey, byte type, Func<string, byte[], T> make) where T : NoteKey
    {
        // The base64 part may hold plus signs; name and id cannot.
        if (vkey?.Split('+', 3) is not [var name, var id, var encoded])
            return null;
        try
        {
            if (Convert.FromBase64String(encoded) is not [var read, .. var key] || read != type)
                return null;
            var parsed = make(name, key);
            return parsed.ToString() == $"{name}+{id}+{encoded}" ? parsed : null;
        }
        catch (FormatException)
        {
            return null;
        }
    }

    /// <summary>Whether a signature line is under this name and key, right or wrong.</summary>
    internal bool IsNamedBy(NoteSignature line) => line.Name == Name && line.KeyId == KeyId;

    private protected bool VerifyBytes(ReadOnlySpan<byte> message, ReadOnlySpan<byte> signature) => SignatureAlgorithm.Ed25519.Verify(_key, message, signature);
}

/// <summary>Public key of a note signer, Ed25519 (C2SP signed-note, type 0x01).</summary>
/// <param name="name">Not empty, without spaces and plus signs.</param>
/// <param name="publicKey">32 bytes.</param>
/// <exception cref="FormatException">The name or the key is not of that form.</exception>
public sealed class NoteVerifier(string name, ReadOnlySpan<byte> publicKey) : NoteKey(Ed25519Type, name, publicKey)
{
    private const byte Ed25519Type = 1;

    /// <summary>Reads what <see cref="NoteKey.ToString"/> wrote, which is handed to whoever checks the log.</summary>
    public static bool TryParse(string? vkey, [NotNullWhen(true)] out NoteVerifier? verifier) =>
        (verifier = Read(vkey, Ed25519Type, static (name, key) => new NoteVerifier(name, key))) is not null;

    internal bool Verify(ReadOnlySpan<byte> text, ReadOnlySpan<byte> signature) => VerifyBytes(text, signature);
}

/// <summary>Private key of a note signer.</summary>
public sealed class NoteSigner : IDisposable
{
    private readonly Key _key;

    /// <param name="name">As of <see cref="NoteVerifier"/>.</param>
    /// <param name="seed">Ed25519 seed, 32 bytes.</param>
    public NoteSigner(string name, ReadOnlySpan<byte> seed)
    {
        _key = Key.Import(SignatureAlgorithm.Ed25519, seed, KeyBlobFormat.RawPrivateKey);
        Verifier = new NoteVerifier(name, _key.PublicKey.Export(KeyBlobFormat.RawPublicKey));
    }

    public NoteVerifier Verifier { get; }

    internal byte[] Sign(ReadOnlySpan<byte> text) => SignatureAlgorithm.Ed25519.Sign(_key, text);

    public void Dispose() => _key.Dispose();
}

/// <summary>Text with signatures (C2SP signed-note).</summary>
public static class SignedNote
{
    private const string SignaturePrefix = "— ";

    // A checkpoint with sixteen post-quantum cosignatures fits.
    private const int MaxLength = 256 * 1024;

    private static readonly UTF8Encoding StrictUtf8 = new(false, throwOnInvalidBytes: true);

    /// <summary>Signs a text, which ends in a newline and has no other control characters.</summary>
    /// <exception cref="FormatException">The text is not of that form.</exception>
    public static string Sign(string text, NoteSigner signer)
    {
        if (!IsText(text) || !text.EndsWith('\n'))
            throw new FormatException("The text of a note ends in a newline and has no other control characters.");
        Span<byte> id = stackalloc byte[4];
        BinaryPrimitives.WriteUInt32BigEndian(id, signer.Verifier.KeyId);
        return $"{text}\n{SignaturePrefix}{signer.Verifier.Name} {Convert.ToBase64String([.. id, .. signer.Sign(Encoding.UTF8.GetBytes(text))])}\n";
    }

    /// <summary>
    /// The text of a note that this key has signed. False for a malformed note, one without this key's signature, and
    /// one on which this key's signature does not verify. Other keys' signatures are ignored.
    /// </summary>
    public static bool TryOpen(string note, NoteVerifier verifier, [NotNullWhen(true)] out string? text)
    {
        text = null;
        if (!TrySplit(note, out var body, out var lines))
            return false;
        var signed = Encoding.UTF8.GetBytes(body);
        var own = lines.Where(verifier.IsNamedBy).ToList();
        if (own.Count == 0 || own.Exists(line => !verifier.Verify(signed, line.Signature)))
            return false;
        text = body;
        return true;
    }

    /// <summary>Text and signature lines of a note, none of them verified. False for a malformed one.</summary>
    internal static bool TrySplit(string note, [NotNullWhen(true)] out string? text, out IReadOnlyList<NoteSignature> lines)
    {
        (text, lines) = (null, []);
        var split = note.LastIndexOf("\n\n", StringComparison.Ordinal);
        if (note.Length > MaxLength || split < 0 || !IsText(note) || !note.EndsWith('\n') || !IsUnicode(note) || !TryReadLines(note[(split + 2)..], out lines))
            return false;
        text = note[..(split + 1)];
        return true;
    }

    /// <summary>Reads signature lines, each with its newline; at least one.</summary>
    internal static bool TryReadLines(string text, out IReadOnlyList<NoteSignature> lines)
    {
        var read = new List<NoteSignature>();
        lines = read;
        if (!text.EndsWith('\n') || text.Length > MaxLength)
            return false;
        foreach (var line in text[..^1].Split('\n'))
        {
            if (!line.StartsWith(SignaturePrefix, StringComparison.Ordinal)
                || line[SignaturePrefix.Length..].Split(' ') is not [{ Length: > 0 } name, var encoded])
                return false;
            var bytes = new byte[encoded.Length];
            if (!Convert.TryFromBase64String(encoded, bytes, out var length) || length < 5)
                return false;
            read.Add(new(line, name, BinaryPrimitives.ReadUInt32BigEndian(bytes), bytes[4..length]));
        }
        return true;
    }

    private static bool IsUnicode(string note)
    {
        try
        {
            return StrictUtf8.GetByteCount(note) > 0;
        }
        catch (EncoderFallbackException)
        {
            return false;
        }
    }

    private static bool IsText(string text) => !text.Any(c => c < ' ' && c != '\n');
}

/// <summary>A signature line of a note.</summary>
/// <param name="Line">As it stands there, without its newline.</param>
/// <param name="Name">Of the key.</param>
/// <param name="Signature">What follows the four bytes of the key id.</param>
sealed record NoteSignature(string Line, string Name, uint KeyId, byte[] Signature);
