using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text;
using NSec.Cryptography;

namespace KantaGateway.Audit;

/// <summary>Public key of a note signer, Ed25519 (C2SP signed-note, type 0x01).</summary>
public sealed class NoteVerifier
{
    private const byte Ed25519Type = 1;

    private readonly PublicKey _key;

    /// <param name="name">Not empty, without spaces and plus signs.</param>
    /// <exception cref="FormatException">The name or the key is not of that form.</exception>
    public NoteVerifier(string name, ReadOnlySpan<byte> publicKey)
    {
        if (name.Length == 0 || name.Any(c => char.IsWhiteSpace(c) || char.IsControl(c) || c == '+'))
            throw new FormatException("A note key name is not empty and has no spaces and no plus sign.");
        if (!NSec.Cryptography.PublicKey.TryImport(SignatureAlgorithm.Ed25519, publicKey, KeyBlobFormat.RawPublicKey, out var key) || key is null)
            throw new FormatException("Not an Ed25519 public key.");
        Name = name;
        _key = key;
        PublicKey = publicKey.ToArray();
        KeyId = BinaryPrimitives.ReadUInt32BigEndian(SHA256.HashData([.. Encoding.UTF8.GetBytes(name), (byte)'\n', Ed25519Type, .. publicKey]));
    }

    public string Name { get; }

    /// <summary>32 bytes.</summary>
    public byte[] PublicKey { get; }

    /// <summary>First four bytes of SHA-256(name, newline, type, public key).</summary>
    public uint KeyId { get; }

    /// <summary>The verifier key (vkey) that is handed to whoever checks the log: <c>name+id+base64</c>.</summary>
    public override string ToString() => $"{Name}+{KeyId:x8}+{Convert.ToBase64String([Ed25519Type, .. PublicKey])}";

    /// <summary>Reads what <see cref="ToString"/> wrote.</summary>
    public static bool TryParse(string? vkey, [NotNullWhen(true)] out NoteVerifier? verifier)
    {
        verifier = null;
        // The base64 part may hold plus signs; name and id cannot.
        if (vkey?.Split('+', 3) is not [var name, var id, var encoded])
            return false;
        try
        {
            if (Convert.FromBase64String(encoded) is not [Ed25519Type, .. var key])
                return false;
            var parsed = new NoteVerifier(name, key);
            if (parsed.ToString() != $"{name}+{id}+{encoded}")
                return false;
            verifier = parsed;
            return true;
        }
        catch (FormatException)
        {
            return false;
        }
    }

    internal bool Verify(ReadOnlySpan<byte> text, ReadOnlySpan<byte> signature) => SignatureAlgorithm.Ed25519.Verify(_key, text, signature);
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
        var split = note.LastIndexOf("\n\n", StringComparison.Ordinal);
        if (note.Length > MaxLength || split < 0 || !IsText(note) || !note.EndsWith('\n'))
            return false;
        var body = note[..(split + 1)];
        byte[] signed;
        try
        {
            signed = StrictUtf8.GetBytes(body);
        }
        catch (EncoderFallbackException)
        {
            return false;
        }
        var verified = false;
        foreach (var line in note[(split + 2)..^1].Split('\n'))
        {
            if (!line.StartsWith(SignaturePrefix, StringComparison.Ordinal)
                || line[SignaturePrefix.Length..].Split(' ') is not [{ Length: > 0 } name, var encoded])
                return false;
            Span<byte> signature = new byte[encoded.Length];
            if (!Convert.TryFromBase64String(encoded, signature, out var length) || length < 5)
                return false;
            if (name != verifier.Name || BinaryPrimitives.ReadUInt32BigEndian(signature) != verifier.KeyId)
                continue;
            if (!verifier.Verify(signed, signature[4..length]))
                return false;
            verified = true;
        }
        text = verified ? body : null;
        return verified;
    }

    private static bool IsText(string text) => !text.Any(c => c < ' ' && c != '\n');
}
