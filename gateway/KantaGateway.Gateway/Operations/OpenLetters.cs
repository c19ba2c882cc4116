using System.Security.Cryptography;
using System.Text;
using KantaGateway.Audit;
using KantaGateway.Audit.Sealing;
using KantaGateway.Gateway.Breach;

namespace KantaGateway.Gateway.Operations;

/// <summary>
/// The commands of who prints letters, run where no gateway is: <c>letter-key FILE</c> makes a private key and says the public half, which goes into <see cref="NoticeOptions.LetterKey"/>;
/// <c>open-letters FILE SEALED OPEN</c> opens the letters of one folder into another. Neither needs a configuration.
/// </summary>
public static class OpenLetters
{
    public const string KeyName = "letter-key", Name = "open-letters";

    /// <param name="args">With the command's name.</param>
    /// <param name="console">Told what happened, and of nobody.</param>
    /// <returns>Exit code: 0 done; 1 not understood; 2 not all were opened.</returns>
    public static int Run(IReadOnlyList<string> args, TextWriter console)
    {
        try
        {
            return args switch
            {
                [KeyName, var file] => MakeKey(file, console),
                [Name, var file, var from, var to] => Open(Convert.FromBase64String(File.ReadAllText(file).Trim()), from, to, console),
                _ => Usage(console),
            };
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException or FormatException)
        {
            console.WriteLine(failure.Message);
            return 2;
        }
    }

    private static int Usage(TextWriter console)
    {
        console.WriteLine($"{KeyName} FILE, or {Name} FILE SEALED-FOLDER FOLDER");
        return 1;
    }

    private static int MakeKey(string file, TextWriter console)
    {
        var key = SealedBox.GeneratePrivateKey();
        OwnerOnly.WriteWhole(file, Encoding.ASCII.GetBytes(Convert.ToBase64String(key)));
        console.WriteLine(Convert.ToBase64String(SealedBox.PublicKeyOf(key)));
        return 0;
    }

    private static int Open(byte[] key, string from, string to, TextWriter console)
    {
        OwnerOnly.CreateFolder(to);
        var (opened, faults) = (0, 0);
        foreach (var file in Directory.EnumerateFiles(from, "*" + SealedLetter.Extension).Order(StringComparer.Ordinal))
            try
            {
                var letter = SealedLetter.Open(key, File.ReadAllBytes(file));
                OwnerOnly.WriteWhole(Path.Combine(to, letter.Name), Encoding.UTF8.GetBytes(letter.Document), overwrite: true);
                opened++;
            }
            catch (CryptographicException)
            {
                console.WriteLine($"{Path.GetFileName(file)} was not sealed to this key, or was changed.");
                faults++;
            }
        console.WriteLine($"{opened} letters are open.");
        return faults == 0 ? 0 : 2;
    }
}
