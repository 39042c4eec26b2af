package android.view;

public class Surface {
    Surface() {
        throw new UnsupportedOperationException();
    }
}
