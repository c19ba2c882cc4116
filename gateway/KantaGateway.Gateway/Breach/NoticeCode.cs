using System.Security.Cryptography;

namespace KantaGateway.Gateway.Breach;

/// <summary>
/// What makes a notice ours: ten random characters and one that checks them, <c>4XK2P-90MWD-7</c> (Crockford's base 32, check modulo 37). Anybody can ask the portal whether it is real,
/// so whoever writes to victims in the organisation's name is found out. 50 bits, and questions are counted: nobody guesses one.
/// </summary>
public readonly record struct NoticeCode
{
    private const string Alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    private const int Length = 10, Modulus = 37;

    private readonly string? _value;

    private NoticeCode(string value) => _value = value;

    /// <summary>A new one. Those whose check character would be none of the alphabet are left out: people read them aloud.</summary>
    public static NoticeCode Create()
    {
        while (true)
        {
            var random = RandomNumberGenerator.GetString(Alphabet, Length);
            if (CheckOf(random) is var check && check < Alphabet.Length)
                return new(random + Alphabet[check]);
        }
    }

    /// <summary>Reads one as people write it: in any case, with spaces and hyphens or without, O for 0, I and L for 1.</summary>
    /// <returns>False: it is none, and was mistyped or made up.</returns>
    public static bool TryParse(string? text, out NoticeCode code)
    {
        code = default;
        if (text is not { Length: <= 64 })
            return false;
        Span<char> plain = stackalloc char[64];
        var length = 0;
        foreach (var c in text)
            if (c is not (' ' or '-' or '\u2013' or '\u00a0'))
                plain[length++] = char.ToUpperInvariant(c) switch { 'O' => '0', 'I' or 'L' => '1', var other => other };
        var value = plain[..length].ToString();
        if (length != Length + 1 || value.Any(static c => !Alphabet.Contains(c)) || CheckOf(value[..Length]) != Alphabet.IndexOf(value[Length]))
            return false;
        code = new(value);
        return true;
    }

    /// <summary>As it is printed.</summary>
    public string Reveal() => _value is { } value ? $"{value[..5]}-{value[5..10]}-{value[10..]}" : throw new InvalidOperationException("No code.");

    /// <summary>Masked: who reads a log must not be able to pass for the organisation.</summary>
    public override string ToString() => "NoticeCode(***)";

    private static int CheckOf(string value)
    {
        var sum = 0;
        foreach (var c in value)
            sum = (sum * Alphabet.Length + Alphabet.IndexOf(c)) % Modulus;
        return sum;
    }
}
