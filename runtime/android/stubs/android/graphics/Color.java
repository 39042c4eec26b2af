package android.graphics;

public class Color {
    public Color() {
        throw new UnsupportedOperationException();
    }

    public static int rgb(int red, int green, int blue) {
        throw new UnsupportedOperationException();
    }
}
